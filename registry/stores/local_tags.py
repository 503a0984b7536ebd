"""Tags of an artifact in a registry's folder: a small file each, replaced atomically.

…/ORG/NAME/.tags/TAG     the digits of the digest that it names
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from registry.artifact import Digest
from registry.errors import IntegrityError, UsageError
from registry.files import open_below, remove_file, write_atomically
from registry.names import check_tag, is_tag

_LONGEST = 1024  # bytes of a tag's file; a digest has 64


class LocalTags:
    """The tags of one artifact.

    Args:
        home: the artifact's folder.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / ".tags"

    def all(self) -> dict[str, str]:
        """What each tag says, by its name; that is a digest's digits, unless it was damaged.

        A file whose name can be no tag is none.
        """
        found = {}
        for path in sorted(self._folder.glob("*")):
            with suppress(FileNotFoundError, IntegrityError):  # removed meanwhile, or no file
                if is_tag(path.name):
                    found[path.name] = self._read(path.name)
        return found

    def get(self, tag: str) -> Digest | None:
        """What one tag names; raises IntegrityError if that cannot be read."""
        path = self._folder / check_tag(tag)
        try:
            return Digest.parse(self._read(tag))
        except FileNotFoundError:
            return None
        except UsageError as error:
            raise IntegrityError(
                f"{path} is damaged",
                remedy=f"Publish with --tag {tag} again, or use another tag or a digest.",
            ) from error

    def _read(self, tag: str) -> str:
        with open_below(self._folder, tag) as file:
            return file.read(_LONGEST).decode(errors="replace").strip()

    def set(self, tag: str, digest: Digest) -> None:
        """Let a tag name a digest."""
        write_atomically(self._folder / tag, f"{digest.hex}\n".encode())

    def remove(self, tag: str) -> None:
        """Remove a tag; one that is not there is no error."""
        remove_file(self._folder / check_tag(tag))
