"""Stores: where published artifacts live. `open_store` finds the one behind a URL."""

from registry.stores.catalogue import not_here, open_store
from registry.stores.interface import Published, Snapshot, Store

__all__ = ["Published", "Snapshot", "Store", "not_here", "open_store"]
