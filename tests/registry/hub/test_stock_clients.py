"""The hub as stock clients see it: huggingface_hub, `hf`, modelscope, unmodified."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub import errors as hf_errors

from registry.stores import open_store
from tests.checkpoints import write_quantized
from tests.own_hub import OwnHub, bucket_hub, own_hub
from tests.servers import moto_server, swift_server

ORG = "acme"


@contextmanager
def _served(kind: str, folder: Path) -> Iterator[Callable[..., AbstractContextManager[OwnHub]]]:
    """What starts a hub over one and the same registry, as often as it is called."""
    registry = folder / "registry"
    if kind == "folder":
        yield lambda *options: own_hub(registry, *options)
    else:
        (folder / "server").mkdir()
        with moto_server() if kind == "moto" else swift_server(folder / "server") as server:
            yield lambda *options: bucket_hub(registry, server, *options)


KINDS = ["folder", "moto", "swift"]


@pytest.fixture(scope="module", params=KINDS)
def hub(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnHub]:
    with _served(request.param, tmp_path_factory.mktemp("hub")) as serve, serve() as running:
        yield running


# huggingface_hub 2.4 hands httpx bytes in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_HUB_DISABLE_XET=1 does for a new process."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


@pytest.fixture
def api(hub: OwnHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=hub.writer)


def _run(hub: OwnHub, *command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name(str(command[0]))), *map(str, command[1:])],
        env={**os.environ, **hub.environment, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }


def test_hf_upload_and_download(
    hub: OwnHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_quantized(tmp_path / "m")
    home = str(tmp_path / "hf")
    _run(hub, "hf", "upload", f"{ORG}/cli", model, ".", HF_HOME=home)
    _run(hub, "hf", "download", f"{ORG}/cli", "--local-dir", tmp_path / "out", HF_HOME=home)
    assert _tree(tmp_path / "out") == _tree(model)
    # What a stock client uploaded is an artifact of the registry.
    for key, value in hub.variables.items():
        monkeypatch.setenv(key, value)
    manifest = open_store(hub.store).snapshot(f"{ORG}/cli").manifest
    assert manifest.quantization["scheme"] == "W8A8_DYNAMIC"


def test_repositories_branches_tags_and_commits(api: HfApi, tmp_path: Path) -> None:
    name = f"{ORG}/refs"
    api.create_repo(name, private=True)
    api.create_repo(name, exist_ok=True)
    with pytest.raises(hf_errors.HfHubHTTPError) as caught:
        api.create_repo(name)
    assert caught.value.response.status_code == 409
    assert api.repo_exists(name) and not api.repo_exists(f"{ORG}/absent")
    first = api.upload_file(path_or_fileobj=b"one", path_in_repo="a/b.txt", repo_id=name).oid
    api.create_tag(name, tag="v1")
    with pytest.raises(hf_errors.HfHubHTTPError):
        api.create_tag(name, tag="v1")
    api.create_tag(name, tag="v1", exist_ok=True)
    second = api.upload_file(path_or_fileobj=b"two", path_in_repo="a/b.txt", repo_id=name).oid
    assert first != second
    for revision, content in (("v1", "one"), ("main", "two"), (first, "one")):
        path = api.hf_hub_download(name, "a/b.txt", revision=revision, cache_dir=tmp_path / "c")
        assert Path(path).read_text() == content
    refs = api.list_repo_refs(name)
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": first}
    api.create_branch(name, branch="dev", revision="v1")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=name, revision="dev")
    assert set(api.list_repo_files(name, revision="dev")) == {"a/b.txt", "x"}
    assert api.list_repo_files(name) == ["a/b.txt"]
    assert [commit.commit_id for commit in api.list_repo_commits(name)][:2] == [second, first]
    api.delete_file("a/b.txt", name)
    assert api.list_repo_files(name) == []
    api.delete_branch(name, branch="dev")
    api.delete_tag(name, tag="v1")
    assert [r.name for r in api.list_repo_refs(name).branches] == ["main"]
    assert any(found.id == name for found in api.list_models(author=ORG))
    api.update_repo_settings(name, private=False)
    assert api.model_info(name).private is False
    api.delete_repo(name)
    assert not api.repo_exists(name)


def test_a_tag_on_another_branch_leaves_the_main_one_alone(api: HfApi, tmp_path: Path) -> None:
    name = f"{ORG}/candidate"
    api.create_repo(name)
    first = api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id=name).oid
    api.create_branch(name, branch="dev")
    api.upload_folder(folder_path=write_quantized(tmp_path / "m"), repo_id=name, revision="dev")
    api.create_tag(name, tag="rc", revision="dev")
    assert api.model_info(name).sha == first
    assert "config.json" in api.list_repo_files(name, revision="rc")


# Swift takes minutes for so many files.
@pytest.mark.parametrize("hub", ["folder", "moto"], indirect=True)
def test_listings_in_pages_and_by_folder(api: HfApi) -> None:
    from huggingface_hub import CommitOperationAdd

    name = f"{ORG}/many"
    api.create_repo(name)
    operations = [CommitOperationAdd(f"f/{n:05d}", str(n).encode()) for n in range(2500)]
    api.create_commit(name, operations, commit_message="many")
    assert len(api.list_repo_files(name)) == 2500
    top = list(api.list_repo_tree(name))
    assert [entry.path for entry in top] == ["f"]
    inside: Any = list(api.list_repo_tree(name, "f"))
    assert len(inside) == 2500 and inside[7].size == 1
    info: Any = api.get_paths_info(name, ["f/00007", "f", "absent"])
    assert sorted(entry.path for entry in info) == ["f", "f/00007"]


def test_errors_are_of_the_right_class(hub: OwnHub, api: HfApi, tmp_path: Path) -> None:
    name = f"{ORG}/closed"
    api.create_repo(name, private=True)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=name)
    options = {"cache_dir": tmp_path / "c"}
    with pytest.raises(hf_errors.EntryNotFoundError):
        api.hf_hub_download(name, "absent", **options)
    with pytest.raises(hf_errors.RevisionNotFoundError):
        api.hf_hub_download(name, "x", revision="absent", **options)
    anyone = HfApi(endpoint=hub.url, token=False)
    reader = HfApi(endpoint=hub.url, token=hub.reader)
    with pytest.raises(hf_errors.RepositoryNotFoundError):
        anyone.hf_hub_download(name, "x", **options)
    assert reader.list_repo_files(name) == ["x"]
    for who, status in ((anyone, 401), (reader, 403)):
        for write in (
            lambda who=who: who.create_repo(f"{ORG}/new"),
            lambda who=who: who.upload_file(path_or_fileobj=b"", path_in_repo="y", repo_id=name),
        ):
            with pytest.raises(hf_errors.HfHubHTTPError) as caught:
                write()
            assert caught.value.response.status_code in (status, 404)
    stranger = HfApi(endpoint=hub.url, token="hf_wrong")
    with pytest.raises(hf_errors.HfHubHTTPError):
        stranger.whoami()
    assert api.whoami()["name"].startswith("write")


def test_a_commit_for_an_old_parent_is_refused(api: HfApi) -> None:
    name = f"{ORG}/parents"
    api.create_repo(name)
    first = api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id=name).oid
    api.upload_file(path_or_fileobj=b"2", path_in_repo="x", repo_id=name)
    with pytest.raises(hf_errors.HfHubHTTPError) as caught:
        api.upload_file(path_or_fileobj=b"3", path_in_repo="x", repo_id=name, parent_commit=first)
    assert caught.value.response.status_code == 412


def test_a_pull_request_is_refused_and_the_main_branch_stays(
    hub: OwnHub, api: HfApi, tmp_path: Path
) -> None:
    name = f"{ORG}/reviewed"
    api.create_repo(name)
    first = api.model_info(name).sha
    with pytest.raises(hf_errors.BadRequestError, match="no pull requests"):
        api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id=name, create_pr=True)
    # A client that asks nothing beforehand.
    answer = requests.post(
        f"{hub.url}/api/models/{name}/commit/main?create_pr=1",
        data=json.dumps({"key": "header", "value": {"summary": "x"}}),
        headers={"Authorization": f"Bearer {hub.writer}"},
        timeout=10,
    )
    assert answer.status_code == 400 and "no pull requests" in answer.text
    assert api.model_info(name).sha == first and api.list_repo_files(name) == []


def test_ranges_and_etags(hub: OwnHub, api: HfApi) -> None:
    name, content = f"{ORG}/ranges", bytes(range(256)) * 8
    api.create_repo(name, private=False)
    api.upload_file(path_or_fileobj=content, path_in_repo="w.safetensors", repo_id=name)
    url = f"{hub.url}/{name}/resolve/main/w.safetensors"
    head = requests.head(url, timeout=10)
    sha256 = hashlib.sha256(content).hexdigest()
    assert head.headers["ETag"] == head.headers["X-Linked-Etag"] == f'"{sha256}"'
    assert head.headers["X-Linked-Size"] == head.headers["Content-Length"] == str(len(content))
    for asked, begin, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, len(content)),
        ("bytes=-5", len(content) - 5, len(content)),
        ("bytes=2000-99999", 2000, len(content)),
    ):
        found = requests.get(url, headers={"Range": asked}, timeout=10)
        assert (found.status_code, found.content) == (206, content[begin:end])
        assert found.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(content)}"
    beyond = requests.get(url, headers={"Range": "bytes=99999-"}, timeout=10)
    assert beyond.status_code == 416
    same = requests.get(url, headers={"If-None-Match": f'"{sha256}"'}, timeout=10)
    assert (same.status_code, same.content) == (304, b"")


def test_what_is_not_the_content_announced_is_not_kept(hub: OwnHub, api: HfApi) -> None:
    name, content = f"{ORG}/liar", b"the content"
    api.create_repo(name)
    row = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    batch = requests.post(
        f"{hub.url}/{name}.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [row]},
        headers={"Authorization": f"Bearer {hub.writer}"},
        timeout=10,
    ).json()["objects"][0]
    href = batch["actions"]["upload"]["href"]
    assert requests.put(href, data=b"the CONTENT", timeout=10).status_code == 400
    assert requests.put(href, data=content + b"!", timeout=10).status_code == 400
    unsigned = href.partition("?")[0]
    for other in (
        unsigned,
        href.replace("size=11", "size=12"),
        href[:-1] + ("1" if href.endswith("0") else "0"),
    ):
        assert requests.put(other, data=content, timeout=10).status_code == 403
    with pytest.raises(hf_errors.HfHubHTTPError):
        _commit_lfs(api, name, row)
    assert not list(hub.folder.glob("partial/take-*"))
    assert requests.put(href, data=content, timeout=10).status_code == 200
    _commit_lfs(api, name, row)
    url = f"{hub.url}/{name}/resolve/main/w.bin"
    headers = {"Authorization": f"Bearer {hub.reader}"}
    assert requests.get(url, headers=headers, timeout=10).content == content


def _commit_lfs(api: HfApi, name: str, row: Mapping[str, Any]) -> None:
    """Commit a large file as its client does when it has sent it, whether or not it has."""
    lines = [
        {"key": "header", "value": {"summary": "large"}},
        {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", **row}},
    ]
    answer = requests.post(
        f"{api.endpoint}/api/models/{name}/commit/main",
        data="\n".join(map(json.dumps, lines)),
        headers={"Authorization": f"Bearer {api.token}"},
        timeout=10,
    )
    if answer.status_code != 200:
        raise hf_errors.HfHubHTTPError(answer.text, response=answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/repos/create", {"name": 5}),
        ("/api/repos/create", {"name": ["m"], "organization": ORG}),
        ("/api/repos/create", {"name": "typed", "organization": 5}),
        ("/api/repos/create", {"name": "typed", "organization": ORG, "private": "no"}),
        ("/api/v1/models", {"Path": ORG, "Name": 5}),
        ("/api/v1/models", {"Path": 5, "Name": "typed"}),
        ("/api/v1/models", {"Path": ORG, "Name": "typed", "Visibility": "public"}),
        ("/api/v1/models", {"Path": ORG, "Name": "typed", "Visibility": True}),
    ],
)
def test_repositories_are_not_made_of_values_of_other_types(
    hub: OwnHub, api: HfApi, path: str, body: Mapping[str, object]
) -> None:
    before = {found.id for found in api.list_models()}
    headers = {"Authorization": f"Bearer {hub.writer}"}
    answer = requests.post(f"{hub.url}{path}", json=body, headers=headers, timeout=10)
    assert answer.status_code == 400 and "must be" in answer.text
    assert {found.id for found in api.list_models()} == before


def test_a_request_without_end_is_cut_off(hub: OwnHub) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 2**20

    url = f"{hub.url}/api/repos/create"
    for token, status in ((hub.writer, 413), ("", 401)):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            found = requests.post(url, data=endless(), headers=headers, timeout=30)
            assert found.status_code == status
        except requests.ConnectionError:
            pass  # refused while it was still sent
    assert requests.get(f"{hub.url}/health", timeout=10).text == "ok\n"


def test_large_files_in_parts(tmp_path: Path) -> None:
    content = os.urandom(1_000_003)
    with own_hub(tmp_path / "registry", "--part-size", "300000") as hub:
        api = HfApi(endpoint=hub.url, token=hub.writer)
        api.create_repo(f"{ORG}/parts")
        api.upload_file(
            path_or_fileobj=content, path_in_repo="w.safetensors", repo_id=f"{ORG}/parts"
        )
        path = api.hf_hub_download(f"{ORG}/parts", "w.safetensors", cache_dir=tmp_path / "c")
    assert Path(path).read_bytes() == content


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_politely_and_goes_on_after_a_kill(kind: str, tmp_path: Path) -> None:
    with _served(kind, tmp_path) as serve:
        with serve() as hub:
            api = HfApi(endpoint=hub.url, token=hub.writer)
            api.create_repo(f"{ORG}/kept")
            made = api.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id=f"{ORG}/kept")
            hub.process.kill()
        with serve() as hub:
            api = HfApi(endpoint=hub.url, token=hub.writer)
            assert api.model_info(f"{ORG}/kept").sha == made.oid
            assert hub.stop() == 0


def test_modelscope_both_ways(hub: OwnHub, tmp_path: Path) -> None:
    model = write_quantized(tmp_path / "m")
    home = {"MODELSCOPE_CACHE": str(tmp_path / "ms"), "HOME": str(tmp_path)}
    _run(hub, "modelscope", "upload", f"{ORG}/scope", model, **home)
    _run(
        hub, "modelscope", "download", "--model", f"{ORG}/scope", "--local_dir",
        tmp_path / "out", **home,
    )  # fmt: skip
    uploaded = {k: v for k, v in _tree(model).items() if not k.startswith(".")}
    assert {k: v for k, v in _tree(tmp_path / "out").items() if k in uploaded} == uploaded


def test_the_sdk_of_modelscope(hub: OwnHub, tmp_path: Path) -> None:
    from modelscope_hub import HubApi
    from modelscope_hub import errors as ms_errors
    from modelscope_hub.config import HubConfig

    api = HubApi(config=HubConfig(endpoint=hub.url, token=hub.writer, config_dir=tmp_path / "ms"))
    name = f"{ORG}/sdk"
    api.create_repo(name, "model", visibility="private")
    with pytest.raises(ms_errors.AlreadyExistsError):
        api.create_repo(name, "model", visibility="private")
    (tmp_path / "f.txt").write_text("one")
    (tmp_path / "w.safetensors").write_bytes(b"two" * 50_000)
    for file in ("f.txt", "w.safetensors"):
        api.upload_file(name, "model", path_or_fileobj=tmp_path / file, path_in_repo=file)
    files = {file.path: file for file in api.list_repo_files(name, "model")}
    assert set(files) == {"f.txt", "w.safetensors"}
    assert files["f.txt"].sha256 == hashlib.sha256(b"one").hexdigest()
    api.create_repo_tag(name, "model", "v1")
    api.delete_files(name, "model", "f.txt")
    assert [file.path for file in api.list_repo_files(name, "model")] == ["w.safetensors"]
    tagged = {file.path for file in api.list_repo_files(name, "model", revision="v1")}
    assert tagged == {"f.txt", "w.safetensors"}
    with pytest.raises(ms_errors.NotExistError):
        api.list_repo_files(f"{ORG}/absent", "model")
    stranger = HubApi(config=HubConfig(endpoint=hub.url, token=None, config_dir=tmp_path / "no"))
    with pytest.raises(ms_errors.NotExistError):
        stranger.list_repo_files(name, "model")


def test_transformers_style_snapshot(hub: OwnHub, tmp_path: Path) -> None:
    """What `from_pretrained` does with HF_ENDPOINT: a snapshot by the name of a branch."""
    model = write_quantized(tmp_path / "m")
    api = HfApi(endpoint=hub.url, token=hub.writer)
    api.create_repo(f"{ORG}/snap")
    for path in sorted(model.iterdir()):
        api.upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id=f"{ORG}/snap")
    found = snapshot_download(
        f"{ORG}/snap", endpoint=hub.url, token=hub.reader, cache_dir=tmp_path / "c"
    )
    assert _tree(Path(found)) == _tree(model)
