"""What an artifact is: files, the digest over its payload, and the manifest that describes it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from registry.errors import IncompatibleError, IntegrityError, UsageError
from registry.names import below_a_file, check_path, has_control
from registry.payload import (
    MANIFEST_FILE,
    in_hidden_folder,
    is_kept,
    is_payload,
    require_no_repository,
)

SCHEMA_VERSION = 1

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_MOST_TABLES = 1_000_000


def is_sha256(text: str) -> bool:
    """Whether a text is 64 lower-case hexadecimal digits."""
    return _SHA256.match(text) is not None


@dataclass(frozen=True, order=True)
class Digest:
    """A sha256 as a value; `str()` gives `sha256:<64 hex digits>`."""

    hex: str

    def __post_init__(self) -> None:
        if not is_sha256(self.hex):
            raise UsageError(
                f"'sha256:{self.hex}' is not a digest",
                remedy="A digest is 'sha256:' and 64 lower-case hexadecimal digits; "
                "`qreg list` and `qreg inspect` print them.",
            )

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:…`; raises UsageError for anything else."""
        return cls(text.removeprefix("sha256:"))

    @property
    def short(self) -> str:
        """The first 12 hexadecimal digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


@dataclass(frozen=True, order=True)
class FileEntry:
    """One file of an artifact.

    Attributes:
        path: POSIX path below the artifact's folder.
        size: in bytes.
        sha256: of the content, 64 hexadecimal digits.
    """

    path: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Any) -> FileEntry:
        """Read and check one entry of a manifest; raises IntegrityError."""
        try:
            path, size, sha256 = value["path"], value["size"], value["sha256"]
        except (TypeError, KeyError) as error:
            raise IntegrityError(f"A file entry of the manifest lacks {error}") from error
        sound = isinstance(path, str) and isinstance(size, int) and not isinstance(size, bool)
        if not sound or size < 0 or not isinstance(sha256, str) or not is_sha256(sha256):
            raise IntegrityError(f"The manifest's file entry for {path!r} is malformed")
        return cls(check_path(path), size, sha256)


def payload_digest(files: Iterable[FileEntry]) -> Digest:
    """The digest of an artifact: sha256 over the canonical JSON of its sorted payload entries.

    Canonical JSON is `[[path, size, sha256], …]`, sorted by path, without white space, UTF-8.
    """
    rows = sorted([e.path, e.size, e.sha256] for e in files if is_payload(e.path))
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return Digest(hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """`qreg.json`: everything known about an artifact, next to its weights.

    The sections are JSON objects; `registry/schemas/manifest-1.json` is their schema. Fields that
    this version does not know are kept, in `extra` and for files by path in `file_extra`, and
    written back unchanged.
    """

    name: str
    digest: Digest
    files: tuple[FileEntry, ...]
    architecture: Mapping[str, Any] = field(default_factory=dict)
    quantization: Mapping[str, Any] = field(default_factory=dict)
    footprint: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[Mapping[str, Any], ...] = ()
    created: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    file_extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    def changed(self, sizes: Mapping[str, int]) -> list[str]:
        """Files of the payload that are not there, or not as large as they were described.

        Args:
            sizes: bytes by path, of what is there.
        """
        listed = {entry.path: entry.size for entry in self.files if is_payload(entry.path)}
        return sorted(path for path, size in listed.items() if sizes.get(path) != size)

    def renamed(self, name: str) -> Manifest:
        """The same artifact under another name."""
        return replace(self, name=name)

    def to_json(self) -> dict[str, Any]:
        return {
            **self.extra,
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "digest": str(self.digest),
            "created": self.created,
            "architecture": dict(self.architecture),
            "quantization": dict(self.quantization),
            "footprint": dict(self.footprint),
            "provenance": dict(self.provenance),
            "evidence": [dict(item) for item in self.evidence],
            "files": [
                {**self.file_extra.get(entry.path, {}), **entry.to_json()}
                for entry in sorted(self.files)
            ],
        }

    def to_bytes(self) -> bytes:
        """The content of `qreg.json`."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"
        return text.encode(errors="backslashreplace")  # halves of characters, as JSON writes them

    @classmethod
    def from_json(cls, value: Any) -> Manifest:
        """Read a manifest and check that its digest belongs to its files.

        Raises:
            IntegrityError: malformed, or the digest is not that of the listed files.
            IncompatibleError: written by a version of qreg with an incompatible schema.
        """
        if not isinstance(value, dict) or not isinstance(value.get("files"), list):
            raise IntegrityError(f"{MANIFEST_FILE} is not a manifest: it lists no files")
        if not isinstance(value.get("schema_version"), int):
            raise IntegrityError(f"{MANIFEST_FILE} has no schema_version")
        if value["schema_version"] > SCHEMA_VERSION:
            raise IncompatibleError(
                f"{MANIFEST_FILE} has schema version {value['schema_version']}, "
                f"this qreg reads up to {SCHEMA_VERSION}",
                remedy="Upgrade qreg.",
            )
        for key, kind in _SECTIONS.items():
            if not isinstance(value.get(key, kind()), kind):
                raise IntegrityError(f"The section {key!r} of {MANIFEST_FILE} is malformed")
        if not all(isinstance(item, dict) for item in value.get("evidence", ())):
            raise IntegrityError(f"The evidence of {MANIFEST_FILE} is malformed")
        listed = tuple(FileEntry.from_json(entry) for entry in value["files"])
        _require_a_tree([entry.path for entry in listed])
        files = tuple(entry for entry in listed if is_kept(entry.path))
        for key in ("name", "created"):
            if len(value.get(key, "")) > 512 or has_control(value.get(key, "")):
                raise IntegrityError(
                    f"The {key} of {MANIFEST_FILE} has control characters, or more than 512 in all"
                )
        manifest = cls(
            name=value.get("name", ""),
            digest=Digest.parse(str(value.get("digest", ""))),
            files=files,
            architecture=value.get("architecture", {}),
            quantization=value.get("quantization", {}),
            footprint=value.get("footprint", {}),
            provenance=value.get("provenance", {}),
            evidence=tuple(value.get("evidence", [])),
            created=value.get("created", ""),
            extra={k: v for k, v in value.items() if k not in _KNOWN},
            file_extra={
                entry["path"]: extra
                for entry in value["files"]
                if is_kept(entry["path"])
                and (extra := {k: v for k, v in entry.items() if k not in _FILE_KEYS})
            },
        )
        if payload_digest(files) != manifest.digest:
            raise IntegrityError(
                f"The manifest says {manifest.digest}, but its file list gives "
                f"{payload_digest(files)}",
                remedy="The manifest was altered; pull the artifact again from its source."
                if not any(in_hidden_folder(entry.path) for entry in listed)
                else "It lists files in hidden folders, which are no part of an artifact: publish "
                "the artifact again from its origin.",
            )
        return manifest

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read the content of `qreg.json`; raises as `from_json`."""
        # Lists take up to twenty times their text; a file of an artifact takes one table.
        if content.count(b"[") + content.count(b"{") > _MOST_TABLES:
            raise IntegrityError(f"{MANIFEST_FILE} is not a manifest: it has millions of tables")
        try:
            value = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise IntegrityError(
                f"{MANIFEST_FILE} is not JSON: {error}",
                remedy="Remove it, or publish the folder with --describe-anew.",
            ) from error
        return cls.from_json(value)


def _require_a_tree(paths: Sequence[str]) -> None:
    """Refuse paths that no folder can hold beside each other and beside the manifest."""
    require_no_repository(paths)
    taken = {*paths, MANIFEST_FILE}
    if len(taken) != len(paths) + 1:
        raise IntegrityError(f"{MANIFEST_FILE} lists a file twice, or itself")
    below = below_a_file(paths, taken)
    if below is not None:
        raise IntegrityError(
            f"{MANIFEST_FILE} lists {below!r} below a file", remedy="Do not use this artifact."
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):  # 1e999: it could not be written again
        raise ValueError(f"{text[:40]} is beyond all numbers")
    return value


_SECTIONS: dict[str, type] = {
    "name": str,
    "created": str,
    "architecture": dict,
    "quantization": dict,
    "footprint": dict,
    "provenance": dict,
    "evidence": list,
}
_FILE_KEYS = frozenset({"path", "size", "sha256"})
_KNOWN = frozenset(_SECTIONS) | {"schema_version", "digest", "files"}
