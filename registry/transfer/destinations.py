"""Where a publication goes: refused before anything is read where it cannot be meant."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from registry.config import Settings
from registry.errors import UsageError
from registry.stores import Store, open_store
from registry.stores.local import LocalStore

_OF_A_MODEL = ("model_type", "architectures", "_class_name")  # transformers; diffusers


def open_destinations(urls: Iterable[str], settings: Settings) -> list[Store]:
    """The stores behind URLs; none: the default registry.

    Raises:
        UsageError: a URL names no store, more than one, or a place inside of a model.
        TransferError: one is not on this machine, and nothing else may be asked.
    """
    given = tuple(urls)
    if not all(given):
        raise UsageError(
            "The destination '' names no store",
            remedy="Write --to file:///path, s3://BUCKET/PREFIX, hf:// or ms://; without --to the "
            "default registry is used.",
        )
    stores = [open_store(url, offline=settings.offline) for url in given or (settings.registry,)]
    for store in stores if given else ():
        if isinstance(store, LocalStore):
            _refuse_in_a_model(store.root)
    return stores


def refuse_inside(store: Store, folder: Path) -> None:
    """Raise UsageError for a registry inside of what is published to it."""
    if isinstance(store, LocalStore) and store.root.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"The registry {store.root} lies inside {folder}, which is published",
            remedy="Name a registry outside it; qreg never writes into a source.",
        )


def _refuse_in_a_model(root: Path) -> None:
    """Publishing that model later would ship the registry with it."""
    for folder in (root.resolve(), *root.resolve().parents):
        if _is_model(folder):
            raise UsageError(
                f"The registry {root} lies inside {folder}, which is a model",
                remedy="Name a registry outside it; a model's folder is published as a whole.",
            )


def _is_model(folder: Path) -> bool:
    """Whether a folder holds weights or a model's config.json; other programs have one, too."""
    try:
        if any(folder.glob("*.safetensors")):
            return True
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and any(key in config for key in _OF_A_MODEL)
