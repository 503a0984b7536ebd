"""ModelScope, or any server that speaks its API."""

from registry.stores.modelscope.snapshot import ModelScopeSnapshot
from registry.stores.modelscope.store import ModelScopeStore

__all__ = ["ModelScopeSnapshot", "ModelScopeStore"]
