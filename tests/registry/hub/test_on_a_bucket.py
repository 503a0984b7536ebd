"""A hub over a bucket: what lies where, several hubs at once, and a hub that died."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub import errors as hf_errors

from registry.config import Settings
from registry.errors import TransferError
from registry.hub.backends import open_backend
from registry.hub.backends.bucket_records import BucketRecords
from registry.hub.repositories import Repositories
from registry.hub.repository import Repository
from registry.stores import open_store
from registry.stores.s3 import S3Store
from registry.transfer.publishing import publish
from tests.checkpoints import write_quantized
from tests.own_hub import bucket_hub
from tests.servers import S3Server, client_of, moto_server

NAME = "acme/model"
STORE = "s3://hub/some"

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with moto_server() as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        client_of(server).create_bucket(Bucket="hub")
        yield server


def _keys(server: S3Server) -> list[str]:
    rows = client_of(server).list_objects_v2(Bucket="hub", Prefix=f"some/{NAME}/")
    return [row["Key"] for row in rows.get("Contents", [])]


def test_an_artifact_lies_where_loaders_look_for_it_and_nowhere_else(
    server: S3Server, tmp_path: Path
) -> None:
    model = write_quantized(tmp_path / "m")
    with bucket_hub(tmp_path / "state", server) as hub:
        api = HfApi(endpoint=hub.url, token=hub.writer)
        api.create_repo(NAME)
        api.upload_folder(folder_path=model, repo_id=NAME)
        manifest = open_store(STORE).snapshot(NAME).manifest
        weights = [key for key in _keys(server) if key.endswith(".safetensors")]
        assert weights == [f"some/{NAME}/{manifest.digest.hex}/model.safetensors"]
        sha256 = next(e.sha256 for e in manifest.files if e.path == "model.safetensors")
        assert not [key for key in _keys(server) if key.endswith(sha256)]
        path = api.hf_hub_download(NAME, "model.safetensors", cache_dir=tmp_path / "c")
        assert Path(path).read_bytes() == (model / "model.safetensors").read_bytes()
        api.delete_repo(NAME)
        assert not _keys(server)
        assert not api.repo_exists(NAME)


def test_what_is_published_to_the_bucket_is_a_commit(
    server: S3Server, settings: Settings, tmp_path: Path
) -> None:
    model = write_quantized(tmp_path / "m")
    publish(model, settings, name=NAME, to=STORE, tags=["v1"])
    with bucket_hub(tmp_path / "state", server) as hub:
        api = HfApi(endpoint=hub.url, token=hub.reader)
        assert [tag.name for tag in api.list_repo_refs(NAME).tags] == ["v1"]
        path = api.hf_hub_download(NAME, "config.json", revision="v1", cache_dir=tmp_path / "c")
        assert Path(path).read_bytes() == (model / "config.json").read_bytes()


def test_two_hubs_over_one_bucket(server: S3Server, tmp_path: Path) -> None:
    with bucket_hub(tmp_path / "a", server) as one, bucket_hub(tmp_path / "b", server) as two:
        hubs = [HfApi(endpoint=hub.url, token=hub.writer) for hub in (one, two)]
        hubs[0].create_repo(NAME)
        first = hubs[0].upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id=NAME).oid
        assert hubs[1].model_info(NAME).sha == first

        def commit(number: int) -> Any:
            return hubs[number % 2].upload_file(
                path_or_fileobj=b"2", path_in_repo=f"file-{number}", repo_id=NAME
            )

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(commit, range(8)))
        names = {f"file-{number}" for number in range(8)} | {"x"}
        newest = hubs[0].upload_file(path_or_fileobj=b"3", path_in_repo="y", repo_id=NAME).oid
        assert set(hubs[0].list_repo_files(NAME)) == names | {"y"}
        # A parent that the other hub has gone beyond.
        with pytest.raises(hf_errors.HfHubHTTPError) as caught:
            hubs[1].upload_file(
                path_or_fileobj=b"4", path_in_repo="z", repo_id=NAME, parent_commit=first
            )
        assert caught.value.response.status_code == 412
        assert hubs[0].model_info(NAME).sha == newest


def test_a_commit_that_the_registry_was_not_told_of_becomes_a_revision(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_quantized(tmp_path / "m")

    def opened() -> Repositories:
        return Repositories(open_backend(open_store(STORE), tmp_path))

    def dies(*_: object, **__: object) -> None:
        raise TransferError("as if killed")

    repositories = opened()
    repositories.create(NAME, private=True)
    contents = {path.name: path.read_bytes() for path in model.iterdir()}
    blobs = dict(zip(contents, repositories.keep(NAME, list(contents.values())), strict=True))
    # Contents that are out of reach do not make it something else than an artifact.
    with monkeypatch.context() as broken:
        broken.setattr("registry.hub.synchronisation.TreeSource.read", dies)
        with pytest.raises(TransferError):
            repositories.commit(NAME, "main", lambda files: files.update(blobs), message="all")
    with monkeypatch.context() as broken:
        broken.setattr("registry.stores.s3.store.S3Store.commit", dies)
        repositories.commit(NAME, "main", lambda files: files.update(blobs), message="all")
    assert not open_store(STORE).revisions(NAME)
    second = opened()
    second.get(NAME)
    second._sync.settle(NAME)
    (revision,) = open_store(STORE).revisions(NAME)
    assert "latest" in revision.tags
    assert len(list(second.history(NAME, "main"))) == 2  # it is the same commit, not another one


def test_a_change_that_others_went_far_beyond_is_made_anew(server: S3Server) -> None:
    slow, fast = (BucketRecords(S3Store("hub/some")) for _ in range(2))
    fast.write(Repository(NAME))
    once = []

    def rename(records: BucketRecords, tag: str) -> None:
        found = records.read(NAME)
        assert found is not None
        if tag == "slow" and not once:
            once.append(tag)
            for number in range(12):
                fast.change(NAME, lambda n=number: rename(fast, f"tag-{n}"))  # type: ignore[misc]
        records.write(replace(found, tags={**found.tags, tag: "0" * 40}))

    slow.change(NAME, lambda: rename(slow, "slow"))
    found = fast.read(NAME)
    assert found is not None and set(found.tags) == {"slow", *(f"tag-{n}" for n in range(12))}


def test_other_things_in_the_bucket_are_no_repositories(server: S3Server, tmp_path: Path) -> None:
    for key in ("1/abc/artifacts/x", "logs/2024--01/y", "acme/model/backup/config.json"):
        client_of(server).put_object(Bucket="hub", Key=f"some/{key}", Body=b"x")
    with bucket_hub(tmp_path / "state", server) as hub:
        api = HfApi(endpoint=hub.url, token=hub.writer)
        assert list(api.list_models()) == []
        api.create_repo(NAME)
        assert [found.id for found in api.list_models()] == [NAME]
