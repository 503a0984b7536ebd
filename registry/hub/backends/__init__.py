"""What a hub keeps its repositories in: a registry's folder, or a bucket."""

from registry.hub.backends.choose import open_backend
from registry.hub.backends.interface import Backend, Contents, Records

__all__ = ["Backend", "Contents", "Records", "open_backend"]
