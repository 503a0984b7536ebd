"""The files of commits, ready to be asked about: what a request costs does not grow with them.

A commit never changes, so what was made of it once holds for all who ask: to read one of 12,000
files anew for each request takes 0.1 s of a processor.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from registry.hub.commits import Blob, Commit
from registry.names import folders_above

_MOST = 128 * 2**20  # bytes that remembered trees may take, as far as that can be told
_FILE = 600  # bytes of a file besides its path: hashes, rows of listings
_HEADS = 50_000  # commits whose messages are remembered

Row = tuple[str, Blob | None]  # a path, and its blob if it is a file


class Tree:
    """A commit and its files.

    Args:
        oid: its name.
        commit: it.
    """

    def __init__(self, oid: str, commit: Commit) -> None:
        self.oid, self.files = oid, commit.files

    def has_folder(self, path: str) -> bool:
        """Whether there is a folder."""
        return path in self._folders

    def below(self, folder: str, *, recursive: bool) -> Sequence[Row]:
        """What lies below a folder: files, and the folders in it, which have no blob.

        Args:
            folder: without slashes at its ends; empty for the whole tree.
            recursive: also what lies deeper than in the folder itself.
        """
        found = self._folders.get(folder)
        if found is None:
            return ()
        return self._rows[found.begin : found.end] if recursive else found.children

    @property
    def cost(self) -> int:
        """About how many bytes it takes."""
        return sum(_FILE + 3 * len(path) for path in self.files)

    @property
    def _rows(self) -> list[Row]:
        return self._index[0]

    @property
    def _folders(self) -> Mapping[str, _Folder]:
        return self._index[1]

    @cached_property
    def _index(self) -> tuple[list[Row], Mapping[str, _Folder]]:
        """All rows, so that what is below a folder stands together; and the folders."""
        rows: list[Row] = []
        root = _Folder(0)
        folders = {"": root}
        for path, blob in sorted(self.files.items(), key=lambda item: item[0].split("/")):
            inside = [root]
            for above in folders_above(path):
                if above not in folders:
                    row = (above, None)
                    inside[-1].children.append(row)
                    rows.append(row)
                    folders[above] = _Folder(len(rows))
                inside.append(folders[above])
            inside[-1].children.append((path, blob))
            rows.append((path, blob))
            for folder in inside:
                folder.end = len(rows)
        return rows, folders


class _Folder:
    """Where in all rows those below a folder stand, and those of the folder itself."""

    __slots__ = ("begin", "children", "end")

    def __init__(self, begin: int) -> None:
        self.begin, self.end = begin, begin
        self.children: list[Row] = []


class Trees:
    """Trees and messages of commits that were asked for last, up to a number of bytes.

    Args:
        read: reads a commit of a repository by its name; raises NotFoundError.
    """

    def __init__(self, read: Callable[[str, str], Commit]) -> None:
        self._read = read
        self._trees: OrderedDict[tuple[str, str, str], tuple[int, Tree]] = OrderedDict()
        self._heads: dict[tuple[str, str, str], Commit] = {}
        self._size = 0
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(16)]

    def get(self, name: str, created: str, oid: str) -> Tree:
        """A commit's files.

        Args:
            name: ORG/NAME of the repository.
            created: when that was made; another one may have had the same name before.
            oid: of the commit.

        Raises:
            NotFoundError: there is none.
        """
        key = (name, created, oid)
        # Those who ask for one at once wait for one reading of it.
        with self._turns[hash(key) % len(self._turns)]:
            with self._lock:
                if key in self._trees:
                    self._trees.move_to_end(key)
                    return self._trees[key][1]
            tree = Tree(oid, self._read(name, oid))
            self._remember(key, tree)
            return tree

    def head(self, name: str, created: str, oid: str) -> Commit:
        """A commit without its files."""
        key = (name, created, oid)
        found = self._heads.get(key)
        if found is None:
            whole = self._read(name, oid)
            found = Commit({}, whole.parent, whole.message, whole.date)
            with self._lock:
                if len(self._heads) >= _HEADS:
                    self._heads.clear()
                self._heads[key] = found
        return found

    def forget(self, name: str) -> None:
        """Let go what is known of a repository that was removed."""
        with self._lock:
            for key in [key for key in self._trees if key[0] == name]:
                self._size -= self._trees.pop(key)[0]
            for key in [key for key in self._heads if key[0] == name]:
                del self._heads[key]

    def _remember(self, key: tuple[str, str, str], tree: Tree) -> None:
        cost = tree.cost
        with self._lock:
            self._trees[key] = cost, tree
            self._size += cost
            while self._size > _MOST and len(self._trees) > 1:
                _, (gone, _) = self._trees.popitem(last=False)
                self._size -= gone
