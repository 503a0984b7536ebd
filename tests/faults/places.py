"""The stores that faults are tried on, each on a real server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults.model import VOCABULARY
from tests.own_hub import bucket_hub, own_hub
from tests.servers import S3Server, moto_server, s3_client, swift_server

BUCKET = "models"
_PART = 2**18  # bytes of a hub's parts; the smallest shard has two
_IN_PARTS = 2 * VOCABULARY  # rows: 6.4 MB a shard, as parts on S3 have 5 MiB at least


@dataclass(frozen=True)
class Place:
    """A store.

    Attributes:
        name: for people.
        url: for `--to`.
        environment: what its clients need.
        server: the address of its server, for a proxy; empty for a folder.
        blobs: a folder on this machine that holds its contents by their sha256, if there is one.
        vocabulary: of models whose shards are sent in parts, where the store knows parts.
    """

    name: str
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    blobs: Path | None = None
    vocabulary: int = VOCABULARY

    def reference(self, name: str) -> str:
        """Of an artifact there."""
        return f"{self.url}{'' if self.url.endswith('/') else '/'}{name}"

    def behind(self, address: str) -> Place:
        """The same, with all its traffic by another address."""
        environment = {k: v.replace(self.server, address) for k, v in self.environment.items()}
        return replace(self, environment=environment)


@contextmanager
def file_place(folder: Path) -> Iterator[Place]:
    yield Place("file", f"file://{folder}/store", blobs=folder / "store")


def _on_s3(server: S3Server) -> Place:
    client = s3_client(server.environment)
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return Place(
        server.kind, f"s3://{BUCKET}", server.environment, server.url, vocabulary=_IN_PARTS
    )


@contextmanager
def moto_place(folder: Path) -> Iterator[Place]:
    with moto_server() as server:
        yield _on_s3(server)


@contextmanager
def swift_place(folder: Path) -> Iterator[Place]:
    (folder / "swift").mkdir()
    with swift_server(folder / "swift") as server:
        yield _on_s3(server)


@contextmanager
def hf_place(folder: Path) -> Iterator[Place]:
    with own_hub(folder / "hub", "--part-size", str(_PART)) as hub:
        yield Place("hf", "hf://", hub.environment, hub.url, folder / "hub")


@contextmanager
def ms_place(folder: Path) -> Iterator[Place]:
    with own_hub(folder / "hub", "--part-size", str(_PART)) as hub:
        yield Place("ms", "ms://", hub.environment, hub.url, folder / "hub")


@contextmanager
def hub_on_s3_place(folder: Path) -> Iterator[Place]:
    with moto_server() as server, bucket_hub(folder / "state", server) as hub:
        yield Place("hf", "hf://", hub.environment, hub.url)


PLACES: Mapping[str, Callable[[Path], AbstractContextManager[Place]]] = {
    "file": file_place,
    "moto": moto_place,
    "swift": swift_place,
    "hf": hf_place,
    "ms": ms_place,
    "hub-on-s3": hub_on_s3_place,
}
