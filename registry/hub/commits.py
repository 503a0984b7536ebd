"""Commits of a hub's repository: immutable trees of files, named by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from registry.errors import IntegrityError, NotFoundError
from registry.folder import git_sha1
from registry.names import below_a_file, check_path
from registry.payload import in_hidden_folder, require_no_repository

MAIN = "main"  # the branch whose commits are the registry's revisions
_LARGE = 10 * 2**20  # bytes; Hugging Face keeps larger files in LFS
_LARGE_NAMES = (
    ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack", ".npz", ".model",
    ".tflite", ".zip", ".tar", ".gz", ".pkl", ".ckpt", ".arrow", ".parquet",
)  # fmt: skip


def is_large(path: str, size: int) -> bool:
    """Whether a file is kept as a large one (LFS), known by its sha256."""
    return size > _LARGE or (size > 0 and path.lower().endswith(_LARGE_NAMES))


class DamagedRecord(IntegrityError):
    """What a hub keeps for itself is damaged where it is kept."""


@dataclass(frozen=True)
class Blob:
    """One file of a tree.

    Attributes:
        size: in bytes.
        sha256: of the content, under which the registry keeps it.
        git: git's sha1 of a small file, by which clients know it; empty for a large one.
    """

    size: int
    sha256: str
    git: str = ""

    @classmethod
    def of(cls, content: bytes) -> Blob:
        """A small file."""
        return cls(len(content), hashlib.sha256(content).hexdigest(), git_sha1(content))

    @property
    def large(self) -> bool:
        """Whether it is in LFS."""
        return not self.git

    @property
    def etag(self) -> str:
        """What clients compare: the sha256 of a large file, git's sha1 of a small one."""
        return self.git or self.sha256

    @property
    def oid(self) -> str:
        """A name of 40 digits, as git's objects have."""
        return self.git or git_sha1(pointer(self))


def pointer(blob: Blob) -> bytes:
    """What git keeps in place of a large file."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{blob.sha256}\nsize {blob.size}\n"
    ).encode()


@dataclass(frozen=True)
class Commit:
    """A tree of files, and where it came from.

    Attributes:
        files: by path.
        parent: the commit before it; empty for the first.
        message: one line.
        date: ISO 8601 UTC.
    """

    files: Mapping[str, Blob]
    parent: str = ""
    message: str = ""
    date: str = ""
    _json: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def oid(self) -> str:
        """40 hexadecimal digits of the sha256 of all of it, in git's manner."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def to_json(self) -> dict[str, Any]:
        """As it is kept on disk."""
        return {
            "parent": self.parent,
            "message": self.message,
            "date": self.date,
            "files": {p: [b.size, b.sha256, b.git] for p, b in sorted(self.files.items())},
        }

    @classmethod
    def from_bytes(cls, content: bytes, oid: str) -> Commit:
        """Read it back as it was kept under its name.

        Raises:
            DamagedRecord: it is damaged, or another one.
        """
        try:
            value = json.loads(content)
            files = {
                str(p): Blob(int(b[0]), str(b[1]), str(b[2])) for p, b in value["files"].items()
            }
            found = cls(files, str(value["parent"]), str(value["message"]), str(value["date"]))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as e:
            raise DamagedRecord("A commit of the hub is damaged") from e
        if not found.oid.startswith(oid):
            raise DamagedRecord("A commit of the hub was altered: it is not what its name says")
        kept = {path: blob for path, blob in files.items() if not in_hidden_folder(path)}
        return replace(found, files=kept)  # an older qreg took the others


def check_oid(name: str, oid: str) -> str:
    """Return what can be the name of a commit; raises NotFoundError for anything else."""
    if not (oid.isalnum() and oid.isascii() and 7 <= len(oid) <= 40):
        raise NotFoundError(f"{name} has no revision {oid[:80]!r}")
    return oid


def check_tree(files: Mapping[str, Blob]) -> None:
    """Refuse a tree that no folder can hold: unsafe names, or a file where another needs a folder.

    Raises:
        IntegrityError: it is one.
    """
    for path in files:
        check_path(path)
    require_no_repository(files)
    below = below_a_file(files, files)
    if below is not None:
        raise IntegrityError(f"{below!r} lies below a file")
