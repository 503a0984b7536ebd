"""A hub over a registry in a bucket: repositories, contents and artifacts below one prefix."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from registry.artifact import Digest, Manifest
from registry.hub.backends.bucket_contents import BucketContents
from registry.hub.backends.bucket_records import BucketRecords
from registry.hub.backends.interface import Backend
from registry.hub.backends.recent import Recent
from registry.stores.s3.store import S3Store


class BucketBackend(Backend):
    """All of a hub in a bucket, but for its tokens: several hubs may serve one bucket.

    Args:
        store: the registry.
        state: a folder of this machine for tokens and the secret that signs addresses.
    """

    store: S3Store
    contents: BucketContents

    def __init__(self, store: S3Store, state: Path) -> None:
        self.store = store
        self.contents = BucketContents(store)
        self.records = BucketRecords(store)
        self.state = state
        self._digests: Recent[list[Digest]] = Recent()

    def prepare(self) -> None:
        next(iter(self.store.names()), None)  # raises what keeps us from the bucket
        self.state.mkdir(parents=True, exist_ok=True)

    def is_behind(self, name: str, known: Collection[str]) -> bool:
        digests = self._digests.get(name, lambda: self.store.digests(name))
        return any(str(d) not in known and self.store.is_whole(name, d) for d in digests)

    def export(self, manifest: Manifest, tags: Iterable[str], *, newest: bool) -> None:
        name, contents = manifest.name, self.contents
        exported, uploaded = contents.exported(name), contents.uploaded(name)
        wanted = {entry.sha256 for entry in manifest.files}
        # What was uploaded although a revision has it takes the place of something damaged there.
        keys = {
            sha256: contents.key(name, sha256)
            if sha256 in uploaded or sha256 not in exported
            else exported[sha256]
            for sha256 in wanted
        }
        self.store.commit(manifest, keys, tags, newest=newest)
        contents.exported(name)  # from now on they are found there
        for sha256 in wanted & uploaded.keys():
            contents.drop(name, sha256)

    def untag(self, name: str, tag: str) -> None:
        self.store.untag(name, tag)

    def remove(self, name: str) -> None:
        # Without its records a repository is what its revisions say, so it ends with those.
        self.records.remove(name)
        self.store.remove(name)
        self.records.remove(name)  # what a reader made of the revisions meanwhile
        self.contents.forget(name)
        self._digests.forget(name)
