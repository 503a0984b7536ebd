"""The facts of what a reference names, wherever it lies, from a few small reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.artifact import Manifest, payload_digest
from registry.checkpoint.documents import MAX_CONFIG, parse_document
from registry.checkpoint.reading import CONFIG
from registry.checkpoint.sampling import read_outline
from registry.config import Settings
from registry.describe import read_manifest
from registry.listing import listed_files, read_carried_manifest
from registry.payload import is_payload
from registry.progress import Observer, ignore
from registry.resolve import Resolved, resolve
from registry.transfer.cache import Cache
from serving.facts import ArtifactFacts, base_of

# Bytes that may be read for a digest that no manifest tells.
_CHEAP = 2 * 2**20


def collect_facts(text: str, settings: Settings, observe: Observer = ignore) -> ArtifactFacts:
    """Read what planning needs of an artifact; no weights are moved, and nothing is hashed.

    Raises:
        UsageError, NotFoundError: the reference is malformed, or names nothing.
        IntegrityError: it is no whole checkpoint.
        TransferError: it cannot be reached.
    """
    resolved = _find(text, settings, observe)
    source = resolved.source
    outline = read_outline(source)
    files = {entry.path: entry.size for entry in source.entries()}
    manifest = _manifest(resolved)
    digest = str(manifest.digest) if manifest else _digest(resolved)
    return ArtifactFacts.of_outline(
        outline,
        _config(resolved, files),
        files,
        name=_name(resolved, manifest),
        digest=digest,
        folder=_folder(text, resolved, settings),
        base=base_of(manifest) if manifest else "",
    )


def _find(text: str, settings: Settings, observe: Observer) -> Resolved:
    if settings.offline:
        known = Cache(settings).recall(text)
        if known is not None:
            return Resolved.of_snapshot(known)
    return resolve(text, settings, observe=observe)


def _manifest(resolved: Resolved) -> Manifest | None:
    """The manifest that it carries, as long as it is of these files."""
    if resolved.snapshot is not None and resolved.snapshot.committed:
        return resolved.snapshot.manifest
    if resolved.folder is not None:
        carried = read_manifest(resolved.folder)
    else:
        carried = read_carried_manifest(resolved.source)
    sizes = {entry.path: entry.size for entry in resolved.source.entries()}
    return carried if carried is not None and not carried.changed(sizes) else None


def _digest(resolved: Resolved) -> str:
    """The digest of what is on a hub, where its listing tells it; else empty."""
    entries = [entry for entry in resolved.source.entries() if is_payload(entry.path)]
    if resolved.folder or sum(e.size for e in entries if not e.sha256) > _CHEAP:
        return ""
    files = listed_files(resolved.source)
    return str(payload_digest(files)) if files else ""


def _config(resolved: Resolved, files: Mapping[str, int]) -> Mapping[str, Any]:
    raw = resolved.source.read(CONFIG, 0, min(files[CONFIG], MAX_CONFIG))
    return parse_document(f"{CONFIG} of {resolved.source.label}", raw, flat=False)


def _name(resolved: Resolved, manifest: Manifest | None) -> str:
    if manifest is not None and manifest.name:
        return manifest.name
    if resolved.snapshot is not None:
        return "/".join(resolved.reference.partition("@")[0].split("/")[-2:])
    return resolved.reference.rstrip("/").rpartition("/")[2] or resolved.reference


def _folder(text: str, resolved: Resolved, settings: Settings) -> str:
    """Where it lies on this machine, or the name that serve replaces by where it comes to lie."""
    if resolved.folder is not None:
        return str(resolved.folder.absolute())
    known = Cache(settings).recall(text)
    if known is not None and known.folder is not None:
        return str(known.folder.absolute())
    return _name(resolved, None)
