"""The registry in a folder."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from registry.artifact import Manifest
from registry.describe import describe_folder
from registry.errors import IncompatibleError, IntegrityError, NotFoundError, UsageError
from registry.stores import open_store
from registry.stores.local import LocalStore
from registry.stores.local_marker import MARKER
from tests.checkpoints import write_quantized

NAME = "org/model"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "registry")


def _made(folder: Path, seed: int = 1) -> tuple[Path, Manifest]:
    return write_quantized(folder, seed), describe_folder(folder, name=NAME)


def test_published_files_come_back_and_are_read_only(store: LocalStore, tmp_path: Path) -> None:
    folder, manifest = _made(tmp_path / "m")
    store.publish(folder, manifest, tags=["v1"])
    snapshot = store.snapshot(NAME, revision="v1")
    assert snapshot.manifest == manifest
    for entry in manifest.files:
        stored = snapshot.folder / entry.path
        assert stored.read_bytes() == (folder / entry.path).read_bytes()
        assert stored.stat().st_mode & 0o777 == 0o444
    assert snapshot.read("config.json", 1, 5) == (folder / "config.json").read_bytes()[1:6]
    assert store.names() == [NAME]


def test_unchanged_files_are_stored_once(store: LocalStore, tmp_path: Path) -> None:
    for seed in (1, 2):
        store.publish(*_made(tmp_path / f"m{seed}", seed))
    first, second = (r.digest for r in store.revisions(NAME))
    assert first != second
    same = [store.snapshot(NAME, digest=d).folder / "tokenizer.json" for d in (first, second)]
    assert same[0].stat().st_ino == same[1].stat().st_ino
    blobs = list((store.root / "blobs").rglob("*"))
    assert len([b for b in blobs if b.is_file()]) == 4 + 1  # only the weights differ


def test_publishing_again_changes_nothing(store: LocalStore, tmp_path: Path) -> None:
    folder, manifest = _made(tmp_path / "m")
    store.publish(folder, manifest)
    before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    store.publish(folder, manifest)
    after = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    changed = {p.name for p in after if before.get(p) != after[p]}
    assert changed - {f".{MARKER}.lock"} == {"latest"}
    assert len(store.revisions(NAME)) == 1


def test_publishing_the_origin_again_mends_what_was_damaged(
    store: LocalStore, tmp_path: Path
) -> None:
    folder, manifest = _made(tmp_path / "m")
    store.publish(folder, manifest)
    revision = store.snapshot(NAME).folder
    (revision / "tokenizer.json").chmod(0o644)
    (revision / "tokenizer.json").write_text("damaged")
    (revision / "config.json").unlink()
    store.publish(folder, manifest)
    for entry in manifest.files:
        assert (revision / entry.path).read_bytes() == (folder / entry.path).read_bytes()
    other = replace(manifest, name="org/other")
    store.publish(folder, other)
    stored = store.snapshot("org/other").folder / "tokenizer.json"
    assert stored.read_bytes() == (folder / "tokenizer.json").read_bytes()


def test_latest_is_the_one_published_last(store: LocalStore, tmp_path: Path) -> None:
    store.publish(*_made(tmp_path / "a", 1))
    folder, newer = _made(tmp_path / "b", 2)
    store.publish(folder, newer)
    assert store.snapshot(NAME).manifest.digest == newer.digest
    assert store.revisions(NAME)[0].tags == ("latest",)


def test_a_file_that_changes_meanwhile_publishes_nothing(store: LocalStore, tmp_path: Path) -> None:
    folder, manifest = _made(tmp_path / "m")
    (folder / "tokenizer.json").write_text("[]")
    with pytest.raises(IntegrityError, match="changed while"):
        store.publish(folder, manifest)
    assert store.names() == []
    assert not list((store.root / "staging").glob("*"))
    assert not list((store.root / "partial").glob("*"))
    with pytest.raises(NotFoundError):
        store.snapshot(NAME)


def test_two_publishers_of_one_artifact(store: LocalStore, tmp_path: Path) -> None:
    folder, manifest = _made(tmp_path / "m")
    failures = []

    def publish() -> None:
        try:
            LocalStore(store.root).publish(folder, manifest)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(store.revisions(NAME)) == 1
    assert list((store.root / "staging").iterdir()) == []


def test_what_a_killed_publisher_left_is_invisible_and_goes_away(
    store: LocalStore, tmp_path: Path
) -> None:
    folder, manifest = _made(tmp_path / "m")
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from registry.describe import describe_folder\n"
        "import registry.stores.local as local, registry.stores.revisions as revisions\n"
        "revisions.sync_tree = lambda path, contents: os._exit(9)\n"  # dies just before the commit
        f"store = local.LocalStore(Path({str(store.root)!r}))\n"
        f"folder = Path({str(folder)!r})\n"
        f"store.publish(folder, describe_folder(folder, name={NAME!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 9
    assert store.names() == []
    assert list((store.root / "staging").iterdir()) != []
    store.publish(folder, manifest)
    assert list((store.root / "staging").iterdir()) == []
    assert store.snapshot(NAME).manifest == manifest


def test_a_killed_maker_of_a_registry_does_not_spoil_its_folder(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    # As SIGKILL would leave it: nothing is tidied up.
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("registry.files.os.replace", killed)
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        patched.setattr("registry.files.os.unlink", lambda *_, **__: None)
        store.prepare()
    left = [path.name for path in store.root.iterdir()]
    assert len(left) == 2 and not store.exists, left  # the lock, and half a marker
    store.publish(*_made(tmp_path / "m"))
    assert store.names() == [NAME]


def test_a_foreign_folder_is_not_taken_for_a_registry(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "precious").write_text("1")
    folder, manifest = _made(tmp_path / "m")
    with pytest.raises(UsageError, match="neither empty nor a registry"):
        LocalStore(home).publish(folder, manifest)
    assert "precious" in [p.name for p in home.iterdir()]
    assert not (home / "blobs").exists()


def test_urls() -> None:
    assert isinstance(open_store("file:///srv/models"), LocalStore)
    for url in ("file://relative", "/srv/models"):
        with pytest.raises(UsageError):
            open_store(url)
    with pytest.raises(IncompatibleError, match="gs://"):
        open_store("gs://bucket")
