"""The Python code that comes with a model: which files, which names, and one digest over them.

Loaders run such code where they are told to trust it. That consent is given by the user of a
command, to files that are here and can be read; an artifact never gives it, and what `auto_map`
fetches from another repository is not in the artifact, so that no digest covers it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.artifact import Digest, FileEntry, payload_digest
from registry.errors import NotAllowedError
from registry.folder import hash_files, list_files
from registry.progress import Note, Observer

_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LARGEST = 2**26  # bytes of a JSON file that is looked into
_DEEPEST = 16  # tables in each other
_SHOWN = 6  # files in a message


@dataclass(frozen=True)
class RemoteCode:
    """What a loader runs of a model's folder once it is trusted.

    Attributes:
        files: every `*.py` of the folder, also those that nothing names: code imports code.
        names: what `auto_map` names, `module.Class`.
        foreign: what it names that is none of these files: `org/name--module.Class` of another
            repository, a path, a module in a hidden folder.
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
        NotAllowedError: a configuration is too large to be looked into.
    """
    sizes = list_files(folder, follow_outside=True)
    files = hash_files(folder, [path for path in sizes if path.endswith(".py")])
    named: set[str] = set()
    for path, size in sizes.items():
        if "/" not in path and path.endswith(".json") and "config" in path:
            if size > _LARGEST:
                raise NotAllowedError(
                    f"{folder / path} has {size} bytes, too many to see which code it names",
                    remedy="Do not trust code of this model.",
                )
            named.update(_named(folder / path))
    here = {entry.path for entry in files}
    known = {name for name in named if _file_of(name) in here}
    return RemoteCode(files, tuple(sorted(known)), tuple(sorted(named - known)))


def _file_of(name: str) -> str | None:
    """The file that `module.Class` names, as transformers 5 finds it; None for anything else."""
    module, dot, _ = name.rpartition(".")
    plain = dot and all(_PART.fullmatch(part) for part in re.split(r"[./]", module))
    return f"{module.replace('.', '/')}.py" if plain else None


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
            f"{label} names code that is no file of its own: {', '.join(code.foreign[:_SHOWN])!r}",
            remedy="Another repository's, or a path: its digest covers none of it. Copy the files "
            "here, and name them in auto_map as module.Class.",
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
