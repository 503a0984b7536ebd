"""Stores: where published artifacts live. `open_store` finds the one behind a URL."""

from registry.stores.catalogue import is_public_hub, not_here, open_store
from registry.stores.interface import Published, Snapshot, Store

__all__ = ["Published", "Snapshot", "Store", "is_public_hub", "not_here", "open_store"]
