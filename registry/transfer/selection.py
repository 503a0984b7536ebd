"""Which files of an artifact are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from registry.artifact import FileEntry
from registry.errors import NotFoundError


@dataclass(frozen=True)
class Selection:
    """Patterns of paths, as in a shell: `*` also stands for `/`.

    Attributes:
        include: a file must match one of these, if there are any.
        exclude: and none of these.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, include: Iterable[str], exclude: Iterable[str]) -> Selection:
        """From any patterns."""
        return cls(tuple(include), tuple(exclude))

    def __bool__(self) -> bool:
        return bool(self.include or self.exclude)

    def of_files(self, files: Sequence[FileEntry]) -> tuple[FileEntry, ...]:
        """The files that are wanted.

        Raises:
            NotFoundError: none is.
        """
        chosen = tuple(
            entry
            for entry in files
            if (not self.include or any(fnmatchcase(entry.path, p) for p in self.include))
            and not any(fnmatchcase(entry.path, p) for p in self.exclude)
        )
        if not chosen:
            raise NotFoundError(
                "No file of the artifact matches --include and --exclude",
                remedy="`qreg inspect REFERENCE --json` lists its files.",
            )
        return chosen
