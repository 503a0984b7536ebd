"""Folders of revisions in a registry: built of links to contents, and put right where they are not.

A folder is built elsewhere and renamed into place, so that a reader sees all of it or nothing. It
is on the disk, names and all, when that is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from registry.artifact import FileEntry, Manifest
from registry.errors import QregError, TransferError
from registry.files import make_folder, sync_folder, sync_tree, write_atomically
from registry.folder import hash_files
from registry.names import folders_above
from registry.payload import MANIFEST_FILE
from registry.progress import Observer
from registry.stores.blobs import Blobs
from registry.stores.local_snapshot import stored_manifest
from registry.stores.staging_area import StagingArea


class Revisions:
    """Builds and mends the folders of one registry.

    Args:
        area: where they are built.
        blobs: the contents that they link to.
    """

    def __init__(self, area: StagingArea, blobs: Blobs) -> None:
        self._area, self._blobs = area, blobs

    def build(self, manifest: Manifest, target: Path, files: Iterable[FileEntry]) -> None:
        """Build a folder of contents that are all there.

        Args:
            manifest: goes into the folder.
            target: the folder; one that is there already is the same.
            files: those of the manifest that are wanted.

        Raises:
            FileNotFoundError: a content is not there.
            TransferError: it is visible, and may not outlast a power cut.
        """
        wanted = tuple(files)
        with self._area.new() as stage, self._blobs.linking(*(e.sha256 for e in wanted)):
            for entry in wanted:
                link = stage / entry.path
                link.parent.mkdir(parents=True, exist_ok=True)
                self._blobs.link(entry.sha256, link)
            write_atomically(stage / MANIFEST_FILE, manifest.to_bytes(), mode=0o444)
            sync_tree(stage, contents=False)
            make_folder(target.parent)
            try:
                os.rename(stage, target)
            except OSError:
                # Another publisher of the same digest was faster: its revision is ours.
                if not (target / MANIFEST_FILE).is_file():
                    raise
        try:
            sync_folder(target.parent)
        except OSError as error:
            raise TransferError(
                f"{target} is visible, but the disk did not confirm that it keeps it: {error}",
                remedy="Check the disk, then publish again: what is there is checked then.",
            ) from error

    def strays(self, target: Path, manifest: Manifest) -> list[FileEntry]:
        """The files of a folder that are not the contents that they should be, unread."""
        found = []
        for entry in manifest.files:
            try:
                content = self._blobs.path(entry.sha256).lstat()
                if os.path.samestat((target / entry.path).lstat(), content):
                    continue
            except OSError:  # it is not there at all
                pass
            found.append(entry)
        return found

    def damaged(self, target: Path, manifest: Manifest, observe: Observer) -> list[FileEntry]:
        """The files of a folder that are lost, or not what the manifest says; reads all of it."""
        for entry in manifest.files:
            _require_folders(target, entry.path)
        paths = [target / entry.path for entry in manifest.files]
        stored = [
            entry.path
            for entry, path in zip(manifest.files, paths, strict=True)
            if path.is_file() and not path.is_symlink()
        ]
        sound = hash_files(target, stored, observe, stage="checking what is stored", stored=True)
        return sorted(set(manifest.files) - set(sound))

    def put(self, target: Path, entries: Sequence[FileEntry]) -> None:
        """Put contents, which are all there, in place of files of a folder."""
        if not entries:
            return
        with self._area.new() as stage, self._blobs.linking(*(e.sha256 for e in entries)):
            for number, entry in enumerate(entries):
                link = stage / str(number)
                self._blobs.link(entry.sha256, link)
                _require_folders(target, entry.path)
                os.replace(link, target / entry.path)
        sync_tree(target, contents=False)


def files_of(folder: Path) -> tuple[FileEntry, ...]:
    """The files that a revision's manifest lists; none where it was lost."""
    try:
        return stored_manifest(folder).files
    except (OSError, QregError):
        return ()


def _require_folders(target: Path, path: str) -> None:
    """Make the folders of a file below a revision; a link in their place is removed."""
    for above in folders_above(path):
        folder = target / above
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            folder.unlink()
        folder.mkdir(exist_ok=True)
