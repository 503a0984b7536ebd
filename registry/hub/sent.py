"""Which contents were sent for which repository, and are not committed yet.

A hub in a folder keeps equal contents once, for all its repositories. Whoever may write to one of
them must not get a file of another by committing its sha256: so a content counts as there for a
repository if its commits name it, or if its bytes were sent for it.

    FOLDER/ORG/NAME/SHA256    empty; made when a content has come, removed when it is committed
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from registry.names import check_name


class Sent:
    """The notes of one hub.

    Args:
        folder: that they lie in.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, name: str, contents: Iterable[str]) -> None:
        """Note contents, by their sha256, that came for ORG/NAME."""
        for sha256 in contents:
            path = self._path(name, sha256)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch()

    def has(self, name: str, sha256: str) -> bool:
        """Whether a content came for ORG/NAME, and was not committed since."""
        return self._path(name, sha256).is_file()

    def drop(self, name: str, contents: Iterable[str]) -> None:
        """Forget contents: commits name them now."""
        for sha256 in contents:
            self._path(name, sha256).unlink(missing_ok=True)

    def clean(self, older_than: float) -> None:
        """Forget what came so many seconds ago and was never committed."""
        for path in self._folder.glob("*/*/*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= older_than:
                    path.unlink()

    def _path(self, name: str, sha256: str) -> Path:
        return self._folder / check_name(name) / sha256
