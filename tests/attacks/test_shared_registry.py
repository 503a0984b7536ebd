"""What another user who can write to a team's registry plants there: links, pipes, lost files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.config import Settings
from registry.errors import IntegrityError
from registry.payload import MANIFEST_FILE
from registry.transfer.publishing import publish
from tests.checkpoints import write_quantized
from tests.conftest import Run

NAME = "acme/model"
OTHER = "acme/other"


def _tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "place", ["staging", "partial", "blobs", "artifacts/acme", f"artifacts/{NAME}/.tags", "digest"]
)
def test_folders_are_not_changed_through_a_link(
    settings: Settings, tmp_path: Path, place: str
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    registry, victim = settings.data / "registry", tmp_path / "victim"
    (victim / "poetry").mkdir(parents=True)
    for name in ("poetry/a", "poetry.lock", "take-old", "latest", "config.json", "README.md"):
        (victim / name).write_text("precious")
        os.utime(victim / name, (1, 1))
    before = _tree(victim)
    planted = registry / place.replace("digest", f"artifacts/{NAME}/{done.manifest.digest.hex}")
    if planted.is_dir():
        os.rename(planted, tmp_path / "moved")
    planted.symlink_to(victim)
    second = [] if place == "digest" else [write_quantized(tmp_path / "n", seed=2)]
    for folder in (*second, tmp_path / "m"):
        with pytest.raises(IntegrityError, match="is a link"):
            publish(folder, settings, name=NAME)
    assert _tree(victim) == before


def test_a_pipe_in_place_of_a_stored_file_keeps_nobody_waiting(
    settings: Settings, tmp_path: Path, qreg: Run
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME, tags=["v1"])
    registry = settings.data / "registry"
    home = registry / "artifacts" / NAME
    (home / ".tags" / "v1").unlink()
    os.mkfifo(home / ".tags" / "v1")
    os.mkfifo(registry / "partial" / "take-x")
    assert qreg("pull", f"{NAME}@v1").code == 5
    manifest = home / done.manifest.digest.hex / MANIFEST_FILE
    manifest.unlink()
    os.mkfifo(manifest)
    assert qreg("pull", NAME).code == 5
    assert qreg("publish", tmp_path / "m", "--name", NAME).code == 0  # mends it
    assert qreg("pull", NAME).code == 0


@pytest.mark.parametrize("content", ["[]", "[" * 100_000, "{}", ""])
def test_a_damaged_marker_is_no_fault_of_qreg(
    settings: Settings, tmp_path: Path, content: str
) -> None:
    folder = write_quantized(tmp_path / "m")
    publish(folder, settings, name=NAME)
    (settings.data / "registry" / "qreg-store.json").write_text(content)
    with pytest.raises(IntegrityError, match="is damaged"):
        publish(folder, settings, name=OTHER)


def _lose_manifest(home: Path, digest: str) -> None:
    (home / digest / MANIFEST_FILE).unlink()


def _lose_folder(home: Path, digest: str) -> None:
    shutil.rmtree(home / digest)


def _become_a_file(home: Path, digest: str) -> None:
    shutil.rmtree(home)
    home.write_text("")


@pytest.mark.parametrize("lose", [_lose_manifest, _lose_folder, _become_a_file])
@pytest.mark.parametrize("suffix", ["", "@v1"])
def test_a_name_that_lost_its_revision_is_not_taken_from_elsewhere(
    settings: Settings,
    tmp_path: Path,
    qreg: Run,
    lose: Callable[[Path, str], None],
    suffix: str,
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME, tags=["v1"])
    attacker = tmp_path / "attacker"
    publish(write_quantized(tmp_path / "evil", seed=2), settings, name=NAME, tags=["v1"],
            to=f"file://{attacker}")  # fmt: skip
    registry = settings.data / "registry"
    lose(registry / "artifacts" / NAME, done.manifest.digest.hex)
    sources = f"file://{registry},file://{attacker}"
    assert qreg("pull", f"{NAME}{suffix}", env={"QREG_SOURCES": sources}).code == 5
