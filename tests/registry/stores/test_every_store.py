"""One artifact in a folder, on S3, on Hugging Face and on ModelScope: one digest everywhere."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from registry.config import Settings
from registry.describe import describe_folder
from registry.errors import (
    CheckFailed,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    TransferError,
)
from registry.folder import sha256_file
from registry.progress import Event, Note
from registry.resolve import resolve
from registry.stores import open_store
from registry.stores.s3 import S3Store
from registry.transfer.publishing import publish
from registry.transfer.pulling import pull
from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.own_hub import OwnHub, bucket_hub, own_hub
from tests.servers import moto_server, swift_server

NAME = "org/model"


@dataclass(frozen=True)
class Place:
    """A store: its URL, and how a reference in it begins."""

    kind: str
    url: str

    @property
    def reference(self) -> str:
        return f"{self.url}{'' if self.url.endswith('/') else '/'}{NAME}"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with own_hub(tmp_path_factory.mktemp("hub") / "registry") as running:
        yield running


@pytest.fixture(scope="module")
def hub_on_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with moto_server() as server, bucket_hub(tmp_path_factory.mktemp("state"), server) as running:
        yield running


PLACES = ["file", "s3-moto", "s3-swift", "hf", "ms"]
and_hubs_on_s3 = pytest.mark.parametrize("place", [*PLACES, "hf-on-s3", "ms-on-s3"], indirect=True)


@pytest.fixture(params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    kind = request.param
    if kind == "file":
        yield Place(kind, f"file://{tmp_path}/registry")
    elif kind.startswith(("hf", "ms")):
        hub = request.getfixturevalue("hub_on_s3" if kind.endswith("s3") else "hub")
        use_hub(monkeypatch, hub, hub.writer)
        empty(hub)
        yield Place(kind[:2], f"{kind[:2]}://")
    else:
        import boto3

        (tmp_path / "server").mkdir()
        servers = {"s3-moto": moto_server, "s3-swift": lambda: swift_server(tmp_path / "server")}
        with servers[kind]() as server:
            for key in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE"):
                monkeypatch.delenv(key, raising=False)
            for key, value in server.environment.items():
                monkeypatch.setenv(key, value)
            boto3.session.Session().client("s3").create_bucket(Bucket="bucket")
            yield Place(kind, "s3://bucket/some/where")


def use_hub(monkeypatch: pytest.MonkeyPatch, hub: OwnHub, token: str) -> None:
    """Let the clients in this process use a hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", token)
    # Its library reads them once a process.
    monkeypatch.setattr("modelscope_hub.config._default_config", None)


def empty(hub: OwnHub) -> None:
    """Remove the repository of these tests, if it is there."""
    from huggingface_hub import HfApi

    HfApi(endpoint=hub.url, token=hub.writer).delete_repo(NAME, missing_ok=True)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@and_hubs_on_s3
def test_there_and_back(place: Place, settings: Settings, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    before, digest = tree(folder), describe_folder(folder).digest
    done = publish(folder, settings, name=NAME, to=place.url, tags=["v1", "v1"])
    assert done.published.tags.count("v1") == 1
    assert tree(folder) == before
    assert done.manifest.digest == digest
    first = pull(f"{place.reference}@v1", settings, output=tmp_path / "first")
    assert first.manifest.digest == digest
    copied = tree(first.folder)
    assert copied.pop("qreg.json") == done.manifest.to_bytes()
    assert copied.pop("README.md").startswith(b"---\n")
    assert copied == before
    # By its digest too, and from the cache.
    for text in (f"{place.reference}@{digest}", place.reference, done.reference):
        assert pull(text, settings).manifest.digest == digest, text
    other = "sha256:" + "0" * 64
    with pytest.raises(IntegrityError, match=f"no revision {other}.* {digest}"):
        pull(f"{place.reference}@{other}", settings)
    with pytest.raises(NotFoundError):
        pull(f"{place.reference}-2@{other}", settings)


@and_hubs_on_s3
def test_publishing_again_changes_nothing(place: Place, settings: Settings, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    once = publish(folder, settings, name=NAME, to=place.url)
    before = resolve(place.reference, settings).reference
    again = publish(folder, settings, name=NAME, to=place.url)
    assert again.reference == once.reference
    assert resolve(place.reference, settings).reference == before


@and_hubs_on_s3
def test_a_new_version_leaves_the_old_one_where_it_was(
    place: Place, settings: Settings, tmp_path: Path
) -> None:
    old = publish(write_quantized(tmp_path / "a", 1), settings, name=NAME, to=place.url, tags=["a"])
    newer = write_quantized(tmp_path / "b", 2)
    (newer / "notes.txt").write_text("new here")
    new = publish(newer, settings, name=NAME, to=place.url, tags=["b"])
    assert old.manifest.digest != new.manifest.digest
    assert pull(place.reference, settings).manifest.digest == new.manifest.digest
    for tag, done in (("a", old), ("b", new)):
        for text in (f"{place.reference}@{tag}", f"{place.reference}@{done.manifest.digest}"):
            pulled = pull(text, settings, output=tmp_path / f"out-{tag}-{len(text)}")
            assert pulled.manifest.digest == done.manifest.digest
    assert (tmp_path / f"out-b-{len(place.reference) + 2}" / "notes.txt").is_file()


def test_metadata_alone(place: Place, settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name=NAME, to=place.url)
    pulled = pull(
        place.reference, settings, output=tmp_path / "meta", include=["*.json"], exclude=["tok*"]
    )
    assert "config.json" in tree(pulled.folder)
    assert not any(p.endswith(".safetensors") or p.startswith("tok") for p in tree(pulled.folder))


def test_without_a_network_the_cache_answers(
    place: Place, settings: Settings, tmp_path: Path
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME, to=place.url)
    pull(place.reference, settings)
    offline = replace(settings, offline=True)
    assert pull(place.reference, offline).manifest.digest == done.manifest.digest
    assert pull(f"{place.reference}@{done.manifest.digest}", offline).folder.is_dir()


def test_a_pull_goes_on_elsewhere(
    place: Place, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source fails in the middle; another one of the same digest has the rest."""
    if place.kind == "file":
        return  # lies on this machine: it is verified where it is
    backup = f"file://{tmp_path}/backup"
    folder = write_quantized(tmp_path / "m")
    done = publish(folder, settings, name=NAME, to=[place.url, backup])
    assert len(done.references) == 2
    snapshot = resolve(place.reference, settings).snapshot
    assert snapshot is not None
    whole = type(snapshot).stream

    def broken(self, path, offset, length):  # type: ignore[no-untyped-def]
        if path == "model.safetensors" and length > 8:
            raise NotFoundError("it was there a moment ago")
        return whole(self, path, offset, length)

    assert snapshot.manifest.digest == done.manifest.digest
    monkeypatch.setattr("registry.transfer.pulling._resolve", lambda *_: resolved)
    resolved = resolve(place.reference, settings)
    resolved.manifest()
    monkeypatch.setattr(type(snapshot), "stream", broken)
    told = []
    both = replace(settings, sources=(place.url, backup))
    pulled = pull(place.reference, both, output=tmp_path / "out", observe=told.append)
    assert tree(pulled.folder)["model.safetensors"] == tree(folder)["model.safetensors"]
    assert any("going on with" in getattr(event, "text", "") for event in told)


def test_a_pin_is_looked_for_in_the_next_source(
    place: Place, settings: Settings, tmp_path: Path
) -> None:
    publish(write_quantized(tmp_path / "a", 1), settings, name=NAME, to=place.url)
    backup = f"file://{tmp_path}/backup"
    done = publish(write_quantized(tmp_path / "b", 2), settings, name=NAME, to=backup)
    both = replace(settings, sources=(place.url, backup))
    pulled = pull(f"{NAME}@{done.manifest.digest}", both)
    assert pulled.manifest.digest == done.manifest.digest


def test_what_lint_refuses_is_not_published(
    place: Place, settings: Settings, tmp_path: Path
) -> None:
    folder = write_quantized(tmp_path / "m")
    (folder / "tokenizer.json").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 9\n"
    )
    with pytest.raises(CheckFailed, match="not published"):
        publish(folder, settings, name=NAME, to=place.url)
    with pytest.raises((NotFoundError, NotAllowedError)):
        resolve(place.reference, settings)


@pytest.mark.parametrize("changed", ["tokenizer.json", "model.safetensors"])
def test_a_file_that_changes_while_it_is_published(
    place: Place, settings: Settings, tmp_path: Path, changed: str
) -> None:
    # A hub keeps contents; these were never published to it.
    folder = write_quantized(tmp_path / "m", seed=zlib.crc32(f"{place.kind} {changed}".encode()))
    manifest = describe_folder(folder, name=NAME)
    before = (folder / changed).read_bytes()
    (folder / changed).write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises((IntegrityError, TransferError)):
        open_store(place.url).publish(folder, manifest)
    with pytest.raises(NotFoundError):
        assert not open_store(place.url).snapshot(NAME).manifest
    (folder / changed).write_bytes(before)
    open_store(place.url).publish(folder, manifest)
    assert pull(place.reference, settings).manifest.digest == manifest.digest


# Only here are there parts in one upload, and a least size of them.
@pytest.mark.parametrize("place", ["s3-swift"], indirect=True)
def test_a_large_file_that_changes_while_it_is_published(
    place: Place, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.stores.s3 import S3Store, bucket

    monkeypatch.setattr(bucket, "_WHOLE", 5 * 2**20)
    file, key = tmp_path / "file", f"some/where/{NAME}/file"
    file.write_bytes(bytes(6 * 2**20))
    expected = sha256_file(file)
    objects = S3Store(place.url.removeprefix("s3://")).bucket
    with file.open("r+b") as writer:
        writer.write(b"\1")
    with pytest.raises(IntegrityError, match="changed while"):
        objects.put_file(key, file, 6 * 2**20, expected, lambda count: None)
    assert objects.head(key) is None
    assert not objects.client.list_multipart_uploads(Bucket=objects.name).get("Uploads")


def test_a_public_repository_is_published_to_only_when_asked(
    hub: OwnHub, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(monkeypatch, hub, hub.writer)
    folder = write_quantized(tmp_path / "m")
    for url in ("hf://", "ms://"):
        name = f"open/{url[:2]}"
        publish(folder, settings, name=name, to=url, public=True)
        with pytest.raises(NotAllowedError, match="is public"):
            publish(folder, settings, name=name, to=url)
        monkeypatch.setenv("HF_TOKEN", "")
        monkeypatch.setenv("MODELSCOPE_API_TOKEN", "")
        assert pull(f"{url}{name}", settings).folder.is_dir()
        use_hub(monkeypatch, hub, hub.writer)
    publish(folder, settings, name="closed/hf", to="hf://")
    use_hub(monkeypatch, hub, "")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(NotFoundError):
        resolve("hf://closed/hf", settings)


def test_a_private_repository_that_stays_private_is_told_of(
    hub: OwnHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(monkeypatch, hub, hub.writer)
    folder = write_quantized(tmp_path / "m")

    def told(name: str, *, public: bool) -> list[str]:
        events: list[Event] = []
        manifest = describe_folder(folder, name=name)
        open_store(url).publish(folder, manifest, public=public, observe=events.append)
        return [e.text for e in events if isinstance(e, Note) and e.warning]

    for url in ("hf://", "ms://"):
        name = f"own/{url[:2]}"
        assert not told(name, public=False)
        (note,) = told(name, public=True)
        assert f"{url}{name} is private and stays so" in note
        for _ in range(2):
            assert not told(f"{name}-open", public=True)


# Only S3 keeps unfinished uploads, and moto does not tell since when.
@pytest.mark.parametrize("place", ["s3-swift"], indirect=True)
def test_uploads_of_the_dead_are_ended(
    tmp_path: Path, settings: Settings, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.stores.s3 import S3Store, store

    bucket = S3Store(place.url.removeprefix("s3://")).bucket
    prefix = f"some/where/{NAME}/"
    key = f"{prefix}{'0' * 64}/model.safetensors"
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)

    def left() -> int:
        found = bucket.client.list_multipart_uploads(Bucket=bucket.name, Prefix=prefix)
        return len(found.get("Uploads", ()))

    folder = write_quantized(tmp_path / "m")
    publish(folder, settings, name=NAME, to=place.url)
    assert left() == 1  # somebody may be sending it right now
    monkeypatch.setattr(store, "_STALE", -1)
    publish(folder, settings, name=NAME, to=place.url)
    assert left() == 0


without_hubs = pytest.mark.parametrize("place", ["file", "s3-moto", "s3-swift"], indirect=True)


def _overwrite(place: Place, path: str, content: bytes | None) -> None:
    """Replace a file of a store behind its back, with all that is told of it; or remove it."""
    where = place.url.partition("://")[2]
    if place.kind == "file":
        file = next(Path(where, "artifacts").glob(f"{NAME}/{path}"))
        file.chmod(0o644)
        file.unlink() if content is None else file.write_bytes(content)
        return
    import boto3

    client = boto3.session.Session().client("s3")
    bucket, _, prefix = where.partition("/")
    home = f"{prefix}/{NAME}/"
    rows = client.list_objects_v2(Bucket=bucket, Prefix=home)["Contents"]
    tail = path.rpartition("*/")[2]
    key = max(row["Key"] for row in rows if f"/{tail}" in row["Key"])
    if content is None:
        client.delete_object(Bucket=bucket, Key=key)
        return
    known = client.head_object(Bucket=bucket, Key=key).get("Metadata", {})
    time.sleep(1.1)  # servers tell whole seconds
    client.put_object(Bucket=bucket, Key=key, Body=content, Metadata=known)


@without_hubs
@pytest.mark.parametrize("damage", ["weights", "manifest", "lost manifest"])
def test_publishing_again_mends_what_was_damaged(
    place: Place, settings: Settings, tmp_path: Path, damage: str
) -> None:
    model = write_quantized(tmp_path / "m")
    done = publish(model, settings, name=NAME, to=place.url)
    before = pull(place.reference, settings, output=tmp_path / "before")
    if damage == "weights":
        weights = (model / "model.safetensors").read_bytes()
        _overwrite(place, "*/model.safetensors", weights[:-1] + bytes([weights[-1] ^ 1]))
    else:
        _overwrite(place, "*/qreg.json", b"{" if damage == "manifest" else None)
    if damage != "lost manifest":
        with pytest.raises(IntegrityError) as raised:
            pull(place.reference, settings, output=tmp_path / "bad")
        assert raised.value.remedy
    again = publish(model, settings, name=NAME, to=place.url)
    assert again.manifest.digest == done.manifest.digest
    after = pull(place.reference, settings, output=tmp_path / "after")
    expected, found = tree(before.folder), tree(after.folder)
    if damage != "weights":  # it is made anew
        expected.pop("qreg.json"), found.pop("qreg.json")
    assert found == expected
    # What was mended is not mended once more.
    if place.kind != "file":
        store = S3Store(place.url.removeprefix("s3://"))
        _, altered = store._unaltered(f"{store.home(NAME)}{done.manifest.digest.hex}/")
        assert not altered


@without_hubs
def test_one_that_is_damaged_hides_no_other(
    place: Place, settings: Settings, tmp_path: Path, qreg: Run
) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name=NAME, to=place.url, tags=["v1"])
    publish(write_quantized(tmp_path / "n", 2), settings, name="org/whole", to=place.url)
    _overwrite(place, ".tags/v1" if place.kind == "file" else "*/v1/", b"")
    with pytest.raises(IntegrityError, match="v1") as raised:
        resolve(f"{place.reference}@v1", settings)
    assert "--tag v1" in raised.value.remedy
    assert len(qreg("list", "--from", place.url, "--json").json["artifacts"]) == 2
    publish(tmp_path / "m", settings, name=NAME, to=place.url, tags=["v1"])
    assert resolve(f"{place.reference}@v1", settings)
    _overwrite(place, "*/qreg.json", b"{")
    listed = qreg("list", "--from", place.url, "--json")
    assert listed.code == 0 and [r["name"] for r in listed.json["artifacts"]] == ["org/whole"]
    assert NAME in listed.json["damaged"][0] and "qreg.json" in listed.err


def test_a_damaged_copy_here_is_passed_over(settings: Settings, tmp_path: Path) -> None:
    model = write_quantized(tmp_path / "m")
    urls = [f"file://{tmp_path}/{name}" for name in ("one", "two")]
    for url in urls:
        publish(model, settings, name=NAME, to=url)
    several = replace(settings, sources=tuple(urls))
    _overwrite(Place("file", urls[0]), "*/model.safetensors", b"x" * 100)
    seen: list[Event] = []
    pulled = pull(NAME, several, observe=seen.append)
    assert tree(pulled.folder)["model.safetensors"] == (model / "model.safetensors").read_bytes()
    assert any(isinstance(event, Note) and urls[1] in event.text for event in seen)
    copied = pull(NAME, several, output=tmp_path / "copy")
    assert sha256_file(copied.folder / "model.safetensors") == sha256_file(
        model / "model.safetensors"
    )
    with pytest.raises(IntegrityError):
        pull(NAME, replace(settings, sources=(urls[0],)))


@pytest.mark.parametrize("place", ["hf", "hf-on-s3"], indirect=True)
def test_a_tag_that_a_client_removes_is_gone_everywhere(
    place: Place, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from huggingface_hub import HfApi

    on_s3 = "hf-on-s3" in request.node.name
    hub: OwnHub = request.getfixturevalue("hub_on_s3" if on_s3 else "hub")
    publish(write_quantized(tmp_path / "m"), settings, name=NAME, to=place.url, tags=["ok", "v1"])
    store = open_store(hub.store)
    with pytest.MonkeyPatch.context() as patch:
        for key, value in hub.variables.items():
            patch.setenv(key, value)
        assert store.snapshot(NAME, revision="ok")
        HfApi(endpoint=hub.url, token=hub.writer).delete_tag(NAME, tag="ok")
        with pytest.raises(NotFoundError):
            store.snapshot(NAME, revision="ok")
        assert store.snapshot(NAME, revision="v1")
    with pytest.raises(NotFoundError):
        resolve(f"{place.reference}@ok", settings)


@pytest.mark.parametrize("bad", ["“hf_abc”", "hf_abc\ndef", "hf abc"])
@pytest.mark.parametrize(
    ("variable", "reference"),
    [
        ("HF_TOKEN", "hf://org/model"),
        ("MODELSCOPE_API_TOKEN", "ms://org/model"),
        ("AWS_SECRET_ACCESS_KEY", "s3://bucket/org/model"),
        ("AWS_ACCESS_KEY_ID", "s3://bucket/org/model"),
    ],
)
def test_a_token_that_cannot_be_sent_is_told_as_that(
    qreg: Run, hub: OwnHub, variable: str, reference: str, bad: str
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "r"}
    env = {**hub.environment, **keys, "AWS_ENDPOINT_URL_S3": hub.url, variable: bad}
    found = qreg("inspect", reference, "--json", env=env)
    assert found.code == 4 and "without quotes" in found.error["remedy"], found.out
    assert "abc" not in found.out + found.err
