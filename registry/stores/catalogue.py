"""Which class serves which URL: built-in stores first, then those of the `qreg.stores` plug-ins."""

from __future__ import annotations

import os
from pathlib import Path

from registry.errors import IncompatibleError, TransferError, UsageError
from registry.stores.interface import Store
from registry.urls import is_below

PLUGINS = "qreg.stores"
_HUGGING_FACE = ("huggingface.co", "hf.co")
_MODELSCOPE = ("modelscope.cn", "modelscope.ai")


def open_store(url: str, *, offline: bool = False) -> Store:
    """Open the store behind a URL such as `file:///srv/models`, without touching it.

    A plug-in is a callable that takes the URL and returns a Store, registered in the entry-point
    group `qreg.stores` under its scheme.

    Args:
        url: of the store.
        offline: only this machine may be asked.

    Raises:
        UsageError: not a URL of a store.
        TransferError: it is not on this machine, and `offline` is set.
        IncompatibleError: nothing installed serves the scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise UsageError(
            f"{url!r} is not the URL of a store", remedy="Write file:///path/to/registry ."
        )
    if scheme == "file":
        from registry.stores.local import LocalStore

        if not rest.startswith("/"):
            raise UsageError(f"{url!r} is not an absolute path", remedy="Write file:///path .")
        return LocalStore(Path(rest))
    if offline:
        raise not_here(url)
    if scheme in ("hf", "ms") and rest:
        raise UsageError(
            f"{url!r} is more than a hub's URL",
            remedy=f"Write {scheme}:// alone; when publishing, the name comes from --name and tags "
            f"from --tag; to list one: qreg list ORG/NAME --from {scheme}:// .",
        )
    if scheme == "hf":
        from registry.stores.huggingface import HuggingFaceStore

        return HuggingFaceStore()
    if scheme == "ms":
        from registry.stores.modelscope import ModelScopeStore

        return ModelScopeStore()
    if scheme == "s3":
        from registry.stores.s3 import S3Store

        return S3Store(rest)
    from importlib.metadata import entry_points

    for plugin in entry_points(group=PLUGINS, name=scheme):
        store: Store = plugin.load()(url)
        return store
    raise IncompatibleError(
        f"No store for '{scheme}://' is installed",
        remedy="Known are file://, hf://, ms:// and s3://; others come in as plug-ins in the "
        f"entry-point group {PLUGINS!r}.",
    )


def is_public_hub(url: str) -> bool:
    """Whether anyone may publish to the place behind a URL: a public hub at its public address.

    A hub of one's own, under HF_ENDPOINT or MODELSCOPE_ENDPOINT, is none; a mirror of a public one
    is treated like one's own, too.
    """
    if url == "hf://":
        address = os.environ.get("HF_ENDPOINT", "").strip()
        return not address or any(is_below(address, domain) for domain in _HUGGING_FACE)
    if url == "ms://":
        names = ("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN")
        address = next(filter(None, (os.environ.get(name, "").strip() for name in names)), "")
        if address and "://" not in address:
            address = f"https://{address}"
        return not address or any(is_below(address, domain) for domain in _MODELSCOPE)
    return False


def not_here(what: str) -> TransferError:
    """The refusal to ask another machine for something."""
    return TransferError(
        f"{what} is not on this machine, and qreg is offline",
        remedy="Pull it while there is a network, or unset QREG_OFFLINE.",
    )
