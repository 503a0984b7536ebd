"""What nothing names is freed, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from registry.hub.backends import Backend, open_backend
from registry.hub.cleaning import clean
from registry.stores import open_store
from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.own_hub import OwnHub, bucket_hub, own_hub
from tests.servers import client_of, moto_server

NAME = "acme/model"

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


@pytest.fixture(params=["folder", "bucket"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[OwnHub, Backend]]:
    with _folder(tmp_path) if request.param == "folder" else _bucket(tmp_path, monkeypatch) as hub:
        yield hub, open_backend(open_store(hub.store), tmp_path / "states")


@contextmanager
def _folder(tmp_path: Path) -> Iterator[OwnHub]:
    with own_hub(tmp_path / "registry") as hub:
        yield hub


@contextmanager
def _bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnHub]:
    with moto_server() as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        client_of(server).create_bucket(Bucket="hub")
        with bucket_hub(tmp_path / "state", server) as hub:
            yield hub


def _upload_without_commit(api: HfApi, size: int) -> None:
    operation = CommitOperationAdd("weights.bin", os.urandom(size))
    api.preupload_lfs_files(NAME, [operation])


def test_only_what_nothing_names_is_freed(place: tuple[OwnHub, Backend], tmp_path: Path) -> None:
    hub, backend = place
    api = HfApi(endpoint=hub.url, token=hub.writer)
    api.create_repo(NAME)
    model = write_quantized(tmp_path / "m")
    api.upload_folder(folder_path=model, repo_id=NAME)
    # On a branch, which is no artifact; in a commit that nothing leads to; and for nobody.
    api.create_branch(NAME, branch="notes")
    named = os.urandom(30_000)
    api.upload_file(path_or_fileobj=named, path_in_repo="a.bin", repo_id=NAME, revision="notes")
    left = api.list_repo_refs(NAME).branches
    old = next(branch.target_commit for branch in left if branch.name == "notes")
    api.delete_file("a.bin", NAME, revision="notes")
    _upload_without_commit(api, 40_000)
    assert clean(backend, older_than=3600) == 0
    assert clean(backend, older_than=0, dry=True) == 40_000
    assert clean(backend, older_than=0) == 40_000
    assert clean(backend, older_than=0) == 0
    path = api.hf_hub_download(NAME, "a.bin", revision=old, cache_dir=tmp_path / "c")
    assert Path(path).read_bytes() == named
    folder = api.snapshot_download(NAME, cache_dir=tmp_path / "c")
    weights = "model.safetensors"
    assert Path(folder, weights).read_bytes() == (model / weights).read_bytes()
    # What is there already is uploaded by nobody: it must be spared until it is committed.
    api.upload_folder(folder_path=model, repo_id=NAME, revision="notes")


def test_a_deleted_repository_takes_no_room(qreg: Run, tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as hub:
        api = HfApi(endpoint=hub.url, token=hub.writer)
        for name in (NAME, "acme/other"):
            api.create_repo(name)
        one, other = write_quantized(tmp_path / "1", 1), write_quantized(tmp_path / "2", 2)
        api.upload_folder(folder_path=one, repo_id=NAME)
        api.upload_folder(folder_path=other, repo_id="acme/other")
        api.delete_repo(NAME)
        store = ("--store", hub.store, "--json")
        assert qreg("hub", "clean", *store).json["bytes"] == 0
        size = (one / "model.safetensors").stat().st_size
        dry = qreg("hub", "clean", "--older-than", "0m", "--dry-run", *store).json
        assert dry["bytes"] >= size
        assert qreg("hub", "clean", "--older-than", "0m", *store).json["bytes"] == dry["bytes"]
        assert qreg("verify", f"{hub.store}/acme/other").code == 0
        assert qreg("hub", "clean", "--older-than", "soon", *store).code == 2


def test_what_a_client_was_told_is_there_is_spared(tmp_path: Path) -> None:
    """A content of long ago that is asked for now is about to be committed."""
    with own_hub(tmp_path / "registry") as hub:
        api = HfApi(endpoint=hub.url, token=hub.writer)
        api.create_repo(NAME)
        content = os.urandom(20_000)
        backend = open_backend(open_store(hub.store), tmp_path)
        ask: Callable[[], None] = lambda: api.preupload_lfs_files(  # noqa: E731
            NAME, [CommitOperationAdd("weights.bin", content)]
        )
        ask()
        time.sleep(2)
        ask()
        assert clean(backend, older_than=1.5) == 0
        time.sleep(2)
        assert clean(backend, older_than=1.5) == len(content)
