"""A registry in a bucket.

    PREFIX/ORG/NAME/DIGEST/…            the files of a revision under their real names, so that
                                        loaders can stream them from there
    PREFIX/ORG/NAME/DIGEST/qreg.json    its manifest, created last: with it the revision exists
    PREFIX/ORG/NAME/.tags/TAG/NUMBER    see `tags`

Files that another revision of the same artifact has are copied on the server's side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from registry.artifact import Digest, FileEntry, Manifest, is_sha256
from registry.clock import iso
from registry.errors import IntegrityError, NotFoundError, UsageError
from registry.names import check_location, check_name, check_tag, check_tags, is_name
from registry.payload import MANIFEST_FILE
from registry.progress import Observer, ignore
from registry.stores.interface import Published, Store, file_of, not_the_pinned
from registry.stores.local import LATEST
from registry.stores.s3.bucket import Bucket, Conflict
from registry.stores.s3.snapshot import S3Snapshot
from registry.stores.s3.tags import Tags
from registry.stores.uploading import Tally, upload_all
from registry.transport import Transport

_STALE = 7 * 24 * 3600  # seconds; no publisher sends one file for so long


class S3Store(Store):
    """A bucket, or a part of one.

    Args:
        location: BUCKET or BUCKET/PREFIX.

    Raises:
        UsageError: it is neither, or the address of a server of your own is none.
    """

    def __init__(self, location: str) -> None:
        if not location:
            raise UsageError("s3:// names no bucket", remedy="Write s3://BUCKET/PREFIX .")
        name, _, prefix = check_location(f"s3://{location}", location).partition("/")
        self.bucket = Bucket(name)
        self.transport = Transport()
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/{self._prefix}".rstrip("/")

    @property
    def exists(self) -> bool:
        return any(True for _ in self.bucket.folders(self._prefix))

    def names(self) -> list[str]:
        found = (
            f"{org}/{name}"
            for org in self.bucket.folders(self._prefix)
            for name in self.bucket.folders(f"{self._prefix}{org}/")
        )
        return sorted(name for name in found if is_name(name))  # a bucket may hold other things

    def revisions(self, name: str) -> list[Published]:
        home = self.home(name)
        tags: dict[Digest, list[str]] = {}
        for tag, digest in Tags(self.bucket, home).all().items():
            tags.setdefault(digest, []).append(tag)
        found = []
        for digest in self.digests(name):
            head = self.bucket.head(_manifest(home, digest.hex))
            if head is not None:
                when = iso(head["LastModified"].timestamp())
                found.append(Published(name, digest, tuple(sorted(tags.get(digest, ()))), when))
        return sorted(found, key=lambda published: published.published, reverse=True)

    def snapshot(
        self, name: str, *, revision: str | None = None, digest: Digest | None = None
    ) -> S3Snapshot:
        home, pinned = self.home(name), digest
        if digest is None:
            digest = Tags(self.bucket, home).get(check_tag(revision or LATEST))
        if digest is None and revision is None:
            # A publisher died between its manifest and its tag.
            digest = next((published.digest for published in self.revisions(name)), None)
        if digest is None or not self.is_whole(name, digest):
            there = self.revisions(name) if pinned else []
            if pinned is not None and there:
                raise not_the_pinned(self.url, name, pinned, there)
            raise NotFoundError(
                f"{name} has no revision '{digest or revision or LATEST}' in {self.url}",
                remedy=f"`qreg list --from {self.url}` shows what is there.",
            )
        return S3Snapshot(self, name, digest)

    def publish(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        tags: Iterable[str] = (),
        public: bool = False,
        extra: Mapping[str, Path] | None = None,
        observe: Observer = ignore,
        consume: bool = False,
    ) -> Published:
        name, tags = check_name(manifest.name), check_tags(tags)
        home = self.home(name)
        target = f"{home}{manifest.digest.hex}/"
        there, altered = self._unaltered(target)
        elsewhere = self._contents_elsewhere(name, manifest)
        tally = Tally(manifest.size, observe)
        jobs: list[Callable[[], None]] = []
        for entry in manifest.files:
            file = file_of(folder, extra, entry.path)
            key = f"{target}{entry.path}"
            jobs.append(
                partial(self._bring, entry, file, key, there, elsewhere.get(entry.sha256), tally)
            )
        upload_all(jobs, tally)
        self._finish(manifest, (*tags, LATEST), renew=altered)
        self.bucket.abort_stale(home, _STALE)
        return next(r for r in self.revisions(name) if r.digest == manifest.digest)

    def commit(
        self, manifest: Manifest, keys: Mapping[str, str], tags: Iterable[str], *, newest: bool
    ) -> None:
        """Make a revision of contents that are in the bucket already, by copying them there.

        Args:
            manifest: what it is.
            keys: of its contents, by their sha256.
            tags: set to it.
            newest: `latest` is set to it, too.

        Raises:
            NotFoundError: a content is not there.
        """
        target = f"{self.home(manifest.name)}{manifest.digest.hex}/"
        whole = self.is_whole(manifest.name, manifest.digest)
        there, _ = self._unaltered(target)
        jobs = []
        for entry in manifest.files:
            key = f"{target}{entry.path}"
            sound = there.get(key) == entry.size and (whole or self.has(key, entry))
            if not sound and keys[entry.sha256] != key:
                jobs.append(partial(self.bucket.copy, keys[entry.sha256], key, entry.sha256))
        upload_all(jobs, Tally(manifest.size, ignore))
        tagged = (*check_tags(tags), *((LATEST,) if newest else ()))
        self._finish(manifest, tagged, renew=whole and bool(jobs))
        self.bucket.abort_stale(self.home(manifest.name), _STALE)

    def files(self, name: str, digest: Digest) -> Mapping[str, str]:
        """The keys of a revision's files by their sha256; raises NotFoundError."""
        files = S3Snapshot(self, name, digest).manifest.files
        return {e.sha256: f"{self.home(name)}{digest.hex}/{e.path}" for e in files}

    def digests(self, name: str) -> list[Digest]:
        """The digests of an artifact's revisions, also of those that are just being published."""
        folders = self.bucket.folders(self.home(name))
        return [Digest(folder) for folder in folders if is_sha256(folder)]

    def unaltered(self, name: str, digest: Digest) -> Mapping[str, int]:
        """Sizes of a revision's objects, by key, but of those that were replaced since."""
        return self._unaltered(f"{self.home(name)}{digest.hex}/")[0]

    def is_whole(self, name: str, digest: Digest) -> bool:
        """Whether a revision's manifest is there, which comes last."""
        return self.bucket.head(_manifest(self.home(name), digest.hex)) is not None

    def untag(self, name: str, tag: str) -> None:
        """Remove a tag; one that is not there is no error."""
        Tags(self.bucket, self.home(name)).remove(check_tag(tag))

    def remove(self, name: str) -> None:
        """Remove an artifact: first what makes its revisions visible, then all else."""
        rows = [row["Key"] for row in self.bucket.list(self.home(name))]
        for key in sorted(rows, key=lambda key: not key.endswith(f"/{MANIFEST_FILE}")):
            self.bucket.delete(key)

    def home(self, name: str) -> str:
        """The prefix of an artifact, with a slash at its end."""
        return f"{self._prefix}{check_name(name)}/"

    def _bring(
        self,
        entry: FileEntry,
        file: Path,
        key: str,
        there: Mapping[str, int],
        source: str | None,
        tally: Tally,
    ) -> None:
        """Bring one file to its place, unless it is there, in the cheapest way."""
        told = tally.of(entry.path, entry.size)
        if there.get(key) == entry.size and self.has(key, entry):
            told(entry.size)
        elif source is not None and self.has(source, entry):
            self.bucket.copy(source, key, entry.sha256)
            told(entry.size)
        else:
            self.bucket.put_file(key, file, entry.size, entry.sha256, told)

    def has(self, key: str, entry: FileEntry) -> bool:
        """Whether an object is what an entry says, by the metadata that came with its bytes."""
        head = self.bucket.head(key)
        if head is None or head.get("ContentLength") != entry.size:
            return False
        return {k.lower(): v for k, v in head.get("Metadata", {}).items()}.get(
            "sha256"
        ) == entry.sha256

    def _sizes(self, prefix: str) -> dict[str, int]:
        return {row["Key"]: row["Size"] for row in self.bucket.list(prefix)}

    def _unaltered(self, target: str) -> tuple[dict[str, int], bool]:
        """Sizes of a revision's objects, by key, but of those that are younger than its manifest.

        That came last: whoever replaced one of them may have left the old metadata with it.

        Returns:
            The sizes, and whether there are younger ones.
        """
        rows = list(self.bucket.list(target))
        whole = [row["LastModified"] for row in rows if row["Key"] == f"{target}{MANIFEST_FILE}"]
        kept = {r["Key"]: r["Size"] for r in rows if not whole or r["LastModified"] <= whole[0]}
        return kept, len(kept) < len(rows)

    def _contents_elsewhere(self, name: str, manifest: Manifest) -> Mapping[str, str]:
        """Keys of contents, by sha256, that another revision of the same artifact has."""
        latest = Tags(self.bucket, self.home(name)).get(LATEST)
        if latest is None or latest == manifest.digest:
            return {}
        try:
            return self.files(name, latest)
        except (NotFoundError, IntegrityError):
            return {}

    def _finish(self, manifest: Manifest, tags: Iterable[str], *, renew: bool = False) -> None:
        """Make a revision visible whose files have all arrived.

        Args:
            manifest: of the revision.
            tags: set to it.
            renew: write the manifest also where it is there, as files were put back.
        """
        home = self.home(manifest.name)
        target = f"{home}{manifest.digest.hex}/"
        self._check(target, manifest)
        key, content = f"{target}{MANIFEST_FILE}", manifest.to_bytes()
        try:
            self.bucket.create(key, content)
        except Conflict:  # published before, or by somebody else at this moment
            stored = self._stored(manifest)
            if renew or stored is None:
                content = (stored or manifest).to_bytes()
                self.bucket.put(key, content, hashlib.sha256(content).hexdigest())
        log = Tags(self.bucket, home)
        for tag in tags:
            log.set(tag, manifest.digest)

    def _stored(self, manifest: Manifest) -> Manifest | None:
        """The same revision's manifest in the bucket; None if it is damaged."""
        try:
            return S3Snapshot(self, manifest.name, manifest.digest).manifest
        except IntegrityError:
            return None

    def _check(self, target: str, manifest: Manifest) -> None:
        """What arrived must be listed in full; the server checked its bytes as they came."""
        found = self._sizes(target)
        for entry in manifest.files:
            if found.get(f"{target}{entry.path}") != entry.size:
                raise IntegrityError(
                    f"{entry.path} did not arrive whole in {self.url}",
                    remedy="Publish again; nothing of it became visible.",
                )


def _manifest(home: str, digest: str) -> str:
    return f"{home}{digest}/{MANIFEST_FILE}"
