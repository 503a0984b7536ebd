"""Where files are read from: a folder of this machine, or a store, by ranges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from registry.folder import Entry, require_folder, scan_folder


class Source(Protocol):
    """A listing and ranged reads; reads may come from several threads at once."""

    @property
    def label(self) -> str:
        """How to name it in a message."""

    @property
    def folder(self) -> Path | None:
        """Where the files lie on this machine; None for a remote source."""

    def entries(self) -> Sequence[Entry]:
        """All files, with what is wrong with them."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` of a file; fewer at its end."""


class LocalSource:
    """A folder of this machine; links out of it are followed, as in the Hugging Face cache."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = require_folder(folder)
        self._root = folder

    @property
    def label(self) -> str:
        return str(self._root)

    def entries(self) -> Sequence[Entry]:
        return list(scan_folder(self._root))

    def read(self, path: str, offset: int, length: int) -> bytes:
        with (self._root / path).open("rb") as file:
            file.seek(offset)
            return file.read(length)
