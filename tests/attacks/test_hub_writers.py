"""What someone tries on a hub who may write a little of it, and what damage does there."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from registry.checkpoint.remote_code import trusted_code
from registry.errors import NotAllowedError
from registry.hub.access import Access
from registry.hub.backends import open_backend
from registry.hub.cleaning import clean
from registry.progress import ignore
from registry.stores import open_store
from tests.own_hub import OwnHub, own_hub
from tests.registry.hub.test_cleaning import without_xet  # noqa: F401 - a fixture

NAME = "acme/model"

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.usefixtures("without_xet"),
]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[OwnHub]:
    with own_hub(tmp_path / "registry", "--part-size", "1048576") as hub:
        HfApi(hub.url, hub.writer).create_repo(NAME)
        yield hub


def _ask(hub: OwnHub, method: str, path: str, **arguments: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {hub.writer}", **arguments.pop("headers", {})}
    return requests.request(method, f"{hub.url}{path}", headers=headers, timeout=60, **arguments)


def _commit(api: HfApi, content: bytes, path: str = "a.txt") -> str:
    operation = CommitOperationAdd(path, content)
    return str(api.create_commit(NAME, [operation], commit_message="x").oid)


def test_deleting_a_dataset_leaves_the_model_of_that_name(hub: OwnHub) -> None:
    api = HfApi(hub.url, hub.writer)
    with pytest.raises(HfHubHTTPError):
        api.delete_repo(NAME, repo_type="dataset")
    assert api.repo_exists(NAME)


def test_names_cannot_stand_for_commits_or_digests(hub: OwnHub) -> None:
    api = HfApi(hub.url, hub.writer)
    old = _commit(api, b"old")
    _commit(api, b"new")
    for name in (old, "HEAD", "main", "x.lock", "0" * 64, f"sha256-{'0' * 64}"):
        for path, body in (("tag/main", {"tag": name}), (f"branch/{name}", {})):
            answer = _ask(hub, "POST", f"/api/models/{NAME}/{path}", json=body)
            assert answer.status_code in (400, 409), (name, path)
    assert _ask(hub, "GET", f"/{NAME}/resolve/{old}/a.txt").content == b"old"


@pytest.mark.parametrize(
    "action",
    [
        {"action": "move", "path": "a.txt"},
        {"action": "update", "path": "a.txt"},
        {"action": "update", "path": "a.txt", "type": "normal", "content": "eA==", "size": 99,
         "encoding": "base64"},
        {"action": "update", "path": "a.txt", "type": "normal", "content": "eA==",
         "sha256": "0" * 64, "encoding": "base64"},
    ],
)  # fmt: skip
def test_operations_that_say_nothing_sound_change_nothing(
    hub: OwnHub, action: dict[str, Any]
) -> None:
    _commit(HfApi(hub.url, hub.writer), b"as it was")
    body = {"actions": [action], "commit_message": "x"}
    answer = _ask(hub, "POST", f"/api/v1/repos/models/{NAME}/commit/master", json=body)
    assert answer.status_code == 400
    assert _ask(hub, "GET", f"/{NAME}/resolve/main/a.txt").content == b"as it was"


@pytest.mark.parametrize(
    "lines",
    [
        [{"key": "file", "value": {"path": "a.txt"}}],
        [{"key": "file", "value": {"path": "a.txt", "content": "eA==", "encoding": "gzip"}}],
        [{"key": "header", "value": {"parentCommit": "0" * 40}},
         {"key": "header", "value": {}}, {"key": "file", "value": {"path": "a", "content": ""}}],
        [{"key": "header", "value": {"parentCommit": ""}},
         {"key": "lfsFile", "value": {"path": "b", "oid": "0" * 64, "size": 1, "algo": "md5"}}],
    ],
)  # fmt: skip
def test_lines_that_say_nothing_sound_change_nothing(
    hub: OwnHub, lines: list[dict[str, Any]]
) -> None:
    newest = _commit(HfApi(hub.url, hub.writer), b"as it was")
    answer = _ask(
        hub,
        "POST",
        f"/api/models/{NAME}/commit/main",
        data="\n".join(map(json.dumps, lines)),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code in (400, 412)
    assert HfApi(hub.url, hub.writer).model_info(NAME).sha == newest


def test_a_new_repository_is_not_public_by_contradiction(hub: OwnHub) -> None:
    for body in (
        {"name": "x", "organization": "acme", "private": False, "visibility": "private"},
        {"name": "x", "organization": "acme", "visibility": "junk"},
    ):
        assert _ask(hub, "POST", "/api/repos/create", json=body).status_code == 400
    assert not HfApi(hub.url, hub.writer).repo_exists("acme/x")


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"private": 1', '{"known": [1]}'])
def test_a_damaged_record_hides_no_other_repository(hub: OwnHub, content: str) -> None:
    api = HfApi(hub.url, hub.writer)
    api.create_repo("acme/other")
    record = hub.folder / "hub" / "repositories" / NAME / "repository.json"
    record.write_text(content)
    assert [model.id for model in api.list_models()] == ["acme/other"]
    answer = _ask(hub, "GET", f"/api/models/{NAME}")
    assert answer.status_code == 500 and "is damaged" in answer.json()["error"]


@pytest.mark.parametrize("content", ["", "[]", "null", '{"x": 1}'])
def test_damaged_tokens_let_nobody_in_and_say_so(hub: OwnHub, content: str) -> None:
    (hub.folder / "hub" / "tokens.json").write_text(content)
    answer = _ask(hub, "GET", "/api/whoami-v2")
    assert answer.status_code == 500 and "tokens.json" in answer.json()["error"]


def test_an_altered_commit_is_not_served(hub: OwnHub) -> None:
    oid = _commit(HfApi(hub.url, hub.writer), b"x")
    path = hub.folder / "hub" / "repositories" / NAME / "commits" / f"{oid}.json"
    path.write_text(path.read_text().replace("a.txt", "../../b"))
    hub.stop()
    with own_hub(hub.folder) as again:
        assert _ask(again, "GET", f"/api/models/{NAME}").status_code == 500


def test_what_was_deleted_does_not_come_back_under_its_name(hub: OwnHub) -> None:
    api = HfApi(hub.url, hub.writer)
    oid = _commit(api, b"secret", "names-of-customers.txt")
    # A hub that was killed while it removed the repository.
    (hub.folder / "hub" / "repositories" / NAME / "repository.json").unlink()
    api.create_repo(NAME, private=False)
    assert (
        requests.get(f"{hub.url}/api/models/{NAME}/revision/{oid}", timeout=30).status_code == 404
    )


def test_parts_that_never_come_hold_nobody_up(hub: OwnHub) -> None:
    size, sha256 = 3 * 2**20, "0" * 64
    asked = {"operation": "upload", "objects": [{"oid": sha256, "size": size}]}
    batch = _ask(hub, "POST", f"/{NAME}.git/info/lfs/objects/batch", json=asked)
    upload = batch.json()["objects"][0]["actions"]["upload"]
    done = threading.Event()

    def slowly() -> Iterator[bytes]:
        while not done.wait(0.2):
            yield b"x"

    def send() -> None:
        try:
            requests.put(upload["header"]["1"], data=slowly(), timeout=60)
        except requests.RequestException:
            pass

    sender = threading.Thread(target=send)
    sender.start()
    completions = [threading.Thread(target=_complete, args=(upload["href"],)) for _ in range(45)]
    try:
        time.sleep(1)
        for one in completions:
            one.start()
        for _ in range(5):
            assert _ask(hub, "GET", f"/api/models/{NAME}").status_code == 200
    finally:
        done.set()
        sender.join()
        for one in completions:
            one.join()


def _complete(url: str) -> None:
    try:
        assert requests.post(url, json={}, timeout=120).status_code in (400, 503)
    except requests.ConnectionError:
        pass


def test_a_whole_is_not_made_of_holes(hub: OwnHub) -> None:
    size = 3 * 2**20
    asked = {"operation": "upload", "objects": [{"oid": "1" * 64, "size": size}]}
    batch = _ask(hub, "POST", f"/{NAME}.git/info/lfs/objects/batch", json=asked)
    upload = batch.json()["objects"][0]["actions"]["upload"]
    assert requests.put(upload["header"]["3"], data=bytes(2**20), timeout=60).ok
    answer = requests.post(upload["href"], json={}, timeout=60)
    assert answer.status_code == 400 and "Not all parts" in answer.text


def test_cleaning_loses_no_commit_that_comes_meanwhile(hub: OwnHub) -> None:
    api, kept = HfApi(hub.url, hub.writer), []
    backend = open_backend(open_store(hub.store), hub.folder.parent / "states")
    stop = threading.Event()

    def cleaning() -> None:
        while not stop.wait(0.05):  # else hardly a commit would find what it has just sent
            clean(backend, older_than=0.0)

    cleaner = threading.Thread(target=cleaning)
    cleaner.start()
    try:
        for number in range(25):
            content = os.urandom(1000)
            try:
                _commit(api, content, f"{number}.txt")
                kept.append((f"{number}.txt", content))
            except HfHubHTTPError:
                pass  # refused, and so not acknowledged
    finally:
        stop.set()
        cleaner.join()
    assert kept
    for path, content in kept:
        assert _ask(hub, "GET", f"/{NAME}/resolve/main/{path}").content == content


def test_a_scope_of_a_newer_hub_grants_nothing(hub: OwnHub) -> None:
    access = Access(hub.folder / "hub")
    secret = access.issue("later", "read")
    path = hub.folder / "hub" / "tokens.json"
    path.write_text(path.read_text().replace('"scope": "read"', '"scope": "sudo"'))
    api = HfApi(hub.url, hub.writer)
    api.create_repo("acme/public", private=False)
    assert HfApi(hub.url, secret).model_info("acme/public").id == "acme/public"
    assert not HfApi(hub.url, secret).repo_exists(NAME)


@pytest.mark.parametrize(
    "name", ["/tmp/planted/evil.Evil", "__pycache__/evil.Evil", "../x.Evil", "evil/repo--m.C", "m"]
)
def test_consent_covers_only_files_that_are_shown(tmp_path: Path, name: str) -> None:
    config = {"auto_map": {"AutoConfig": name}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "evil.py").write_text("")
    with pytest.raises(NotAllowedError, match="no file of its own"):
        trusted_code(tmp_path, "the model", ignore)
