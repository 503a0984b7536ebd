"""ModelScope, or any server that speaks its API."""

from registry.stores.modelscope.store import ModelScopeSnapshot, ModelScopeStore

__all__ = ["ModelScopeSnapshot", "ModelScopeStore"]
