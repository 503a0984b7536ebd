"""How the Hugging Face API writes repositories, files and names of commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.hub.commits import Blob
from registry.hub.repository import Repository


def summary(repository: Repository) -> dict[str, Any]:
    return {
        "_id": repository.name,
        "id": repository.name,
        "modelId": repository.name,
        "author": repository.name.partition("/")[0],
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "createdAt": repository.created or "1970-01-01T00:00:00.000Z",
    }


def sibling(path: str, blob: Blob) -> dict[str, Any]:
    found: dict[str, Any] = {"rfilename": path, "size": blob.size, "blobId": blob.oid}
    if blob.large:
        found["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": 134}
    return found


def row(path: str, blob: Blob) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
    if blob.large:
        found["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 134}
    return found


def listed(path: str, blob: Blob | None) -> dict[str, Any]:
    """A line of a listing: a file, or a folder."""
    if blob is None:
        return {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
    return row(path, blob)


def refs(kind: str, found: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid}
        for name, oid in sorted(found.items())
    ]
