"""The Python code that comes with a model: which files, which names, and one digest over them.

Loaders run such code where they are told to trust it. That consent is given by the user of a
command, to files that are here and can be read; an artifact never gives it, and what `auto_map`
fetches from another repository is not in the artifact, so that no digest covers it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.artifact import Digest, FileEntry, payload_digest
from registry.errors import NotAllowedError
from registry.folder import hash_files, list_files
from registry.progress import Note, Observer

_LARGEST = 2**26  # bytes of a JSON file that is looked into
_DEEPEST = 16  # tables in each other
_SHOWN = 6  # files in a message


@dataclass(frozen=True)
class RemoteCode:
    """What a loader runs of a model's folder once it is trusted.

    Attributes:
        files: every `*.py` of the folder, also those that nothing names: code imports code.
        names: what `auto_map` names, `module.Class`.
        foreign: what it names in other repositories, `org/name--module.Class`.
    """

    files: tuple[FileEntry, ...]
    names: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def digest(self) -> Digest:
        """sha256 over the canonical JSON of the files' sorted [path, size, sha256]."""
        return payload_digest(self.files)

    @property
    def wanted(self) -> bool:
        """Whether the configuration asks a loader to run code."""
        return bool(self.names or self.foreign)

    def __str__(self) -> str:
        paths = [entry.path for entry in self.files]
        more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
        return f"{', '.join(paths[:_SHOWN]) or 'no file'}{more} ({self.digest})"


def code_of(folder: Path) -> RemoteCode:
    """Read which code a model's folder brings; none of it is run.

    Raises:
        IntegrityError: the folder holds an unsafe name, or a link to nothing.
    """
    sizes = list_files(folder, follow_outside=True)
    files = hash_files(folder, [path for path in sizes if path.endswith(".py")])
    named: set[str] = set()
    for path, size in sizes.items():
        if "/" not in path and path.endswith(".json") and "config" in path and size <= _LARGEST:
            named.update(_named(folder / path))
    return RemoteCode(
        files,
        tuple(sorted(name for name in named if "--" not in name)),
        tuple(sorted(name for name in named if "--" in name)),
    )


def trusted_code(folder: Path, label: str, observe: Observer) -> RemoteCode:
    """The code that the user allows to run, told in a note.

    Args:
        folder: of the model.
        label: what the user calls it.
        observe: is told the files and their digest.

    Raises:
        NotAllowedError: a part of it is in another repository.
    """
    code = code_of(folder)
    if code.foreign:
        raise NotAllowedError(
            f"{label} takes code from another repository: {', '.join(code.foreign[:_SHOWN])!r}",
            remedy="That code is not in this folder, and its digest covers none of it. Copy the "
            "files here, and name them in auto_map without the repository.",
        )
    if code.files:
        text = f"Python code of {label} may run, as --trust-remote-code says: {code}"
        observe(Note(text, warning=True))
    return code


def untrusted_error(folder: Path, label: str) -> NotAllowedError:
    """What to raise where a model cannot be loaded without code that nobody allowed."""
    code = code_of(folder)
    return NotAllowedError(
        f"{label} needs Python code of its own, which runs only if you say so: {code}",
        remedy="Read those files, then add --trust-remote-code .",
    )


def _named(path: Path) -> Iterator[str]:
    try:
        yield from _references(json.loads(path.read_bytes()), 0)
    except (OSError, ValueError, RecursionError):
        return  # no loader reads it either


def _references(value: Any, depth: int) -> Iterator[str]:
    """Texts of every `auto_map`, also in configurations inside of others."""
    if not isinstance(value, Mapping) or depth > _DEEPEST:
        return
    for key, inner in value.items():
        if key == "auto_map":
            yield from _texts(inner)
        else:
            yield from _references(inner, depth + 1)


def _texts(value: Any) -> Iterator[str]:
    """A name, a list of them (tokenizers of old), or either by class."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list | Mapping):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
