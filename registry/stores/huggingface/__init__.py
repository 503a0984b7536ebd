"""The Hugging Face Hub, or any server that speaks its API."""

from registry.stores.huggingface.snapshot import HuggingFaceSnapshot
from registry.stores.huggingface.store import HuggingFaceStore

__all__ = ["HuggingFaceSnapshot", "HuggingFaceStore"]
