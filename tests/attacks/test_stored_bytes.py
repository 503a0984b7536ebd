"""Bytes that were planted, swapped or damaged where they are stored, and names that bring code."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import BadRequestError

from registry.artifact import payload_digest
from registry.config import Settings
from registry.errors import IntegrityError
from registry.files import write_atomically
from registry.hub.backends import Backend, open_backend
from registry.hub.backends.bucket import BucketBackend
from registry.hub.cleaning import clean
from registry.payload import MANIFEST_FILE
from registry.stores import open_store
from registry.stores.blobs import Blobs
from registry.transfer.publishing import publish
from registry.transfer.pulling import pull
from tests.checkpoints import write_quantized, write_sharded
from tests.conftest import Run
from tests.hub import hub
from tests.own_hub import OwnHub, own_hub
from tests.registry.hub.test_cleaning import place, without_xet  # noqa: F401 - fixtures

NAME = "acme/model"
STRANGER = 12345  # a user id that this machine has not
CONFIG_OF_GIT = b"[core]\n\tfsmonitor = touch canary\n"
HIDDEN = (
    *(".git/config", "sub/.GIT/hooks/pre-commit", ".vscode/tasks.json", "a/__pycache__/m.pyc"),
    *("b/.git", "GIT~1/config"),  # a file that stands for such a folder, and a short name of it
)
REPOSITORY = ("HEAD", "config", "objects/k", "refs/k")  # what git takes any folder by

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def _plant(folder: Path) -> None:
    for path in HIDDEN:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(CONFIG_OF_GIT)


def _flip(path: Path, *, as_before: bool = False) -> None:
    """Damage a stored content, as a disk does; or as an attacker, who puts its times back."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-4:] = bytes(byte ^ 0xFF for byte in content[-4:])
    with path.open("r+b") as file:
        file.write(content)
    path.chmod(before.st_mode)
    if as_before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_hidden_folders_of_a_hub_do_not_land(qreg: Run, tmp_path: Path) -> None:
    _plant(write_quantized(tmp_path / "hubs" / NAME))
    copy = tmp_path / "copy"
    with hub(tmp_path / "hubs") as server:
        done = qreg("pull", f"hf://{NAME}", "--output", copy, env={"HF_ENDPOINT": server.url})
    assert done.code == 0, done.err
    assert not [path for path in copy.rglob("*") if path.is_dir()]
    assert qreg("verify", copy).code == 0


def test_hidden_folders_are_not_published_nor_described(
    settings: Settings, tmp_path: Path, qreg: Run
) -> None:
    folder = write_quantized(tmp_path / "m")
    bare = publish(folder, settings, name=NAME).manifest
    _plant(folder)
    done = publish(folder, settings, name=NAME)
    assert done.manifest.digest == bare.digest
    findings = qreg("lint", folder, "--json").json["findings"]
    assert not [found for found in findings if found["severity"] != "info"]
    stored = settings.data / "registry" / "artifacts" / NAME / bare.digest.hex
    assert {path.name for path in stored.iterdir() if path.is_dir()} == set()


def test_a_manifest_that_lists_hidden_files_does_not_make_them_land(
    settings: Settings, tmp_path: Path
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    registry = settings.data / "registry"
    revision = registry / "artifacts" / NAME / done.manifest.digest.hex
    digest = hashlib.sha256(CONFIG_OF_GIT).hexdigest()
    value = json.loads((revision / MANIFEST_FILE).read_bytes())
    for path in HIDDEN:
        (revision / path).parent.mkdir(parents=True, exist_ok=True)
        (revision / path).write_bytes(CONFIG_OF_GIT)
        value["files"].append({"path": path, "size": len(CONFIG_OF_GIT), "sha256": digest})
    write_atomically(revision / MANIFEST_FILE, json.dumps(value).encode())
    pulled = pull(NAME, settings, output=tmp_path / "copy")
    assert not list(pulled.folder.rglob(".git")) and not list(pulled.folder.rglob("__pycache__"))
    assert payload_digest(pulled.manifest.files) == done.manifest.digest


@pytest.mark.usefixtures("without_xet")
@pytest.mark.parametrize("below", ["", "g/"])
def test_a_folder_that_git_takes_for_a_repository_is_refused(
    qreg: Run, tmp_path: Path, below: str
) -> None:
    folder = write_quantized(tmp_path / "hubs" / NAME)
    for path in REPOSITORY:
        (folder / below / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / below / path).write_bytes(CONFIG_OF_GIT)
    assert qreg("publish", folder, "--name", NAME).code == 5
    with hub(tmp_path / "hubs") as server:
        env = {"HF_ENDPOINT": server.url}
        pulled = qreg("pull", f"hf://{NAME}", "--output", tmp_path / "copy", env=env)
    assert pulled.code == 5 and "repository of git" in pulled.err
    with own_hub(tmp_path / "registry") as own:
        api = HfApi(own.url, own.writer)
        api.create_repo(NAME)
        with pytest.raises(BadRequestError, match="repository of git"):
            _publish(api, folder)


@pytest.mark.usefixtures("without_xet")
def test_a_commit_cannot_bring_settings_of_git(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as server:
        api = HfApi(server.url, server.writer)
        api.create_repo(NAME)
        for path in HIDDEN:
            operation = CommitOperationAdd("harmless.txt", CONFIG_OF_GIT)
            operation.path_in_repo = path  # the stock client refuses some of them by itself
            with pytest.raises(Exception, match=r"hidden|FORBIDDEN|Bad Request|No files"):
                api.create_commit(NAME, [operation], commit_message="x")
                raise AssertionError("No files" if not _hidden(api) else "taken")
        assert _hidden(api) == []


def _hidden(api: HfApi) -> list[str]:
    return [path for path in api.list_repo_files(NAME) if path in HIDDEN]


@pytest.mark.parametrize("shard", ["model.sig", "w/README.md", "weights.bin", "a/.git"])
def test_weights_that_no_digest_covers_are_refused(qreg: Run, tmp_path: Path, shard: str) -> None:
    folder = write_sharded(tmp_path / "m")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    first = sorted(set(index["weight_map"].values()))[0]
    (folder / shard).parent.mkdir(exist_ok=True)
    os.rename(folder / first, folder / shard)
    index["weight_map"] = {
        tensor: shard if name == first else name for tensor, name in index["weight_map"].items()
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    done = qreg("publish", folder, "--name", NAME, "--accept", "all")
    assert done.code == 5 and "names a shard that is none" in done.err, done.err


@pytest.mark.parametrize("name", ["README.md", "config.json", "model.safetensors"])
def test_a_link_in_place_of_a_stored_file_is_not_followed(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    secret = tmp_path / "id_rsa"
    secret.write_text("a secret of who publishes")
    revision = settings.data / "registry" / "artifacts" / NAME / done.manifest.digest.hex
    (revision / name).unlink()
    (revision / name).symlink_to(secret)
    with pytest.raises(IntegrityError):
        publish(NAME, settings, to=f"file://{tmp_path}/other")
    with pytest.raises(IntegrityError):
        pull(NAME, settings)
    with pytest.raises(IntegrityError):
        pull(NAME, settings, output=tmp_path / "copy")
    assert not (tmp_path / "other" / "artifacts").exists() and not (tmp_path / "copy").exists()
    publish(tmp_path / "m", settings, name=NAME)  # mends it
    assert not (revision / name).is_symlink()
    pull(NAME, settings, output=tmp_path / "copy")


def test_a_link_in_place_of_a_stored_folder_is_not_followed(
    settings: Settings, tmp_path: Path
) -> None:
    folder = write_quantized(tmp_path / "m")
    (folder / "sub").mkdir()
    (folder / "sub" / "text.txt").write_text("a text of the artifact")
    done = publish(folder, settings, name=NAME)
    revision = settings.data / "registry" / "artifacts" / NAME / done.manifest.digest.hex
    elsewhere = tmp_path / "elsewhere"
    os.rename(revision / "sub", elsewhere)
    (revision / "sub").symlink_to(elsewhere)
    with pytest.raises(IntegrityError):
        pull(NAME, settings, output=tmp_path / "copy")
    publish(folder, settings, name=NAME)
    assert not (revision / "sub").is_symlink()
    pull(NAME, settings, output=tmp_path / "copy")


def _publish(api: HfApi, folder: Path) -> None:
    api.upload_folder(repo_id=NAME, folder_path=folder, commit_message="again")


@pytest.mark.usefixtures("without_xet")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_what_is_damaged_in_a_hub_is_mended_by_uploading_again(
    place: tuple[OwnHub, Backend],  # noqa: F811
    qreg: Run,
    tmp_path: Path,
    name: str,
) -> None:
    server, backend = place
    folder, copies = write_quantized(tmp_path / "m"), tmp_path / "copies"
    env = {**server.environment, **server.variables}
    api = HfApi(server.url, server.writer)
    api.create_repo(NAME)
    _publish(api, folder)
    assert qreg("pull", f"hf://{NAME}", "--output", copies / "first", env=env).code == 0
    sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    if isinstance(backend, BucketBackend):
        key, size = backend.contents.find(NAME, sha256), (folder / name).stat().st_size
        time.sleep(1.1)  # a bucket tells its times in seconds
        backend.store.bucket.client.put_object(
            Bucket="hub", Key=key, Body=bytes(size), Metadata={"sha256": sha256}
        )
    else:
        _flip(server.folder / "blobs" / sha256[:2] / sha256)
    assert qreg("pull", f"hf://{NAME}", "--output", copies / "damaged", env=env).code == 5
    _publish(api, folder)
    for number, source in enumerate((f"hf://{NAME}", f"{server.store}/{NAME}")):
        done = qreg("pull", source, "--output", copies / str(number), env=env)
        assert done.code == 0, done.err
        assert (copies / str(number) / name).read_bytes() == (folder / name).read_bytes()


def test_what_is_damaged_in_a_hub_is_mended_by_publishing_again(qreg: Run, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    to_hub = ("publish", folder, "--name", NAME, "--to", "hf://")
    with own_hub(tmp_path / "registry") as server:
        assert qreg(*to_hub, env=server.environment).code == 0
        sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        _flip(server.folder / "blobs" / sha256[:2] / sha256)
        assert qreg(*to_hub, env=server.environment).code == 0
        pulled = qreg("pull", f"hf://{NAME}", "--output", tmp_path / "copy", env=server.environment)
    assert pulled.code == 0, pulled.err


def test_a_folder_of_another_user_beside_an_output_is_refused(qreg: Run, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "hubs" / NAME)
    received = tmp_path / ".copy.qreg-received"
    _plant_zeros(received, folder, STRANGER)
    os.chown(received, STRANGER, STRANGER)
    with hub(tmp_path / "hubs") as server:
        env = {"HF_ENDPOINT": server.url}
        done = qreg("pull", f"hf://{NAME}", "--output", tmp_path / "copy", "--json", env=env)
    assert done.code == 4 and f"belongs to user {STRANGER}" in done.error["message"]
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("owner", [0, STRANGER])
def test_bytes_that_qreg_did_not_receive_are_hashed(
    settings: Settings, qreg: Run, tmp_path: Path, owner: int
) -> None:
    folder = write_quantized(tmp_path / "hubs" / NAME)
    cache = settings.cache / "pulled"
    write_atomically(cache / "qreg-store.json", b'{"layout": 1}')
    for place_ in (tmp_path / ".copy.qreg-received", cache):
        _plant_zeros(place_, folder, owner)
    copy = ("--output", tmp_path / "copy")
    with hub(tmp_path / "hubs") as server:
        for output in (copy, ()):
            done = qreg("pull", f"hf://{NAME}", *output, env={"HF_ENDPOINT": server.url})
            assert done.code == 0, done.err
    shard = (folder / "model.safetensors").read_bytes()
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == shard
    assert [f.read_bytes() for f in cache.glob("artifacts/**/model.safetensors")] == [shard]


def _plant_zeros(place: Path, folder: Path, owner: int) -> None:  # noqa: F811
    """Put contents of the right names and sizes there, as who knows what will be pulled can."""
    for file in folder.iterdir():
        content = file.read_bytes()
        planted = Blobs(place).path(hashlib.sha256(content).hexdigest())
        planted.parent.mkdir(parents=True, exist_ok=True)
        planted.write_bytes(bytes(len(content)))
        os.chown(planted, owner, -1)


def test_a_note_of_another_user_is_no_proof(settings: Settings, tmp_path: Path) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    blobs = Blobs(settings.data / "registry")
    shard = next(e for e in done.manifest.files if e.path == "model.safetensors")
    _flip(blobs.path(shard.sha256))
    blobs.hashed.note(shard.sha256, blobs.path(shard.sha256).stat())
    assert blobs.trusts(shard.sha256, shard.size)  # as if this user had hashed it
    for note in (settings.data / "registry" / "hashed").glob("*/*"):
        os.chown(note, STRANGER, STRANGER)
    assert not blobs.trusts(shard.sha256, shard.size)


def test_bytes_that_changed_behind_the_same_time_are_noticed(
    settings: Settings, tmp_path: Path
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    pulled = pull(NAME, settings)
    _flip(pulled.folder / "model.safetensors", as_before=True)
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        pull(NAME, settings)
    publish(tmp_path / "m", settings, name=NAME)
    assert pull(NAME, settings).manifest.digest == done.manifest.digest


def test_cleaning_does_not_remove_an_upload_under_way(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/registry")
    backend = open_backend(store, tmp_path / "states")
    backend.prepare()
    sink = backend.contents.sink(NAME, "0" * 64, 4096)
    part = backend.contents.part(NAME, "1" * 64, 0, 4096)
    left = tmp_path / "registry" / "partial" / "take-dead"
    left.write_bytes(bytes(4096))
    os.utime(left, (1, 1))
    clean(backend, older_than=0.0)
    assert not left.exists()
    there = sorted((tmp_path / "registry" / "partial").iterdir())
    assert len(there) == 2, there
    for path in there:
        with path.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    sink.close()
    part.close()
