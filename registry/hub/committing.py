"""What a commit changes, gathered as it comes: small contents go to where they are kept at once.

A commit of many small files is hundreds of megabytes of base64. So an operation is read when it
has arrived, and its content is let go before the next ones; what stays is a path and a sha256.
"""

from __future__ import annotations

from collections.abc import Callable

from registry.hub.commits import Blob
from registry.hub.errors import Refusal
from registry.hub.parsing import check_depth
from registry.hub.repositories import Repositories
from registry.names import check_path
from registry.payload import in_hidden_folder

_AT_ONCE = 8 * 2**20  # bytes of small contents that are held until they are kept together
_MANY = 1000  # of them


class Gathering:
    """The operations of one commit, in their order.

    Args:
        repositories: keep small files.
        name: ORG/NAME of the one that is committed to.
    """

    def __init__(self, repositories: Repositories, name: str) -> None:
        self._repositories, self._name = repositories, name
        self._changes: list[Callable[[dict[str, Blob]], None]] = []
        self._held: list[bytes] = []
        self._kept: list[Blob] = []
        self._size = 0

    def put(self, path: str, content: bytes) -> None:
        """A small file becomes this."""
        path, number = _visible(path), len(self._kept) + len(self._held)
        self._held.append(content)
        self._size += len(content)

        def change(files: dict[str, Blob]) -> None:
            files[path] = self._kept[number]

        self._changes.append(change)
        if self._size >= _AT_ONCE or len(self._held) >= _MANY:
            self.keep()

    def place(self, path: str, blob: Blob) -> None:
        """A file becomes what was uploaded before."""

        def change(files: dict[str, Blob], path: str) -> None:
            files[path] = blob

        self.do(_visible(path), change)

    def do(self, path: str, change: Callable[[dict[str, Blob], str], None]) -> None:
        """Something else becomes of what is at a path."""
        path = _checked(path)
        self._changes.append(lambda files: change(files, path))

    def keep(self) -> None:
        """Keep the small contents that came last."""
        held, self._held, self._size = self._held, [], 0
        if held:
            self._kept += self._repositories.keep(self._name, held)

    def apply(self, files: dict[str, Blob]) -> None:
        """Make the changes to a tree, in the order in which they came."""
        for change in self._changes:
            change(files)


def _checked(path: str) -> str:
    return check_depth(check_path(path.rstrip("/")))


def _visible(path: str) -> str:
    """The path of a file that a commit brings; a Refusal where it lies in a hidden folder."""
    path = _checked(path)
    if in_hidden_folder(path):
        raise Refusal(
            400,
            f"{path} lies in a hidden or generated folder, which is no part of an artifact; "
            "leave it out",
        )
    return path
