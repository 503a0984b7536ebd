"""Installing by hash: real pip, a lock with hashes, and wheels in a folder in place of an index."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import toolchains.catalogue
from registry.config import Settings
from registry.errors import NotFoundError, ToolError
from registry.progress import Event, Note
from toolchains import Spec, find_toolchain
from toolchains.install import install_toolchain
from toolchains.installed import home_of
from toolchains.lock import read_lock

TINY = Spec("tiny", "a test", "tiny", ("tiny",), (10, 14), "tiny.txt")


@pytest.fixture
def tiny(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A catalogue with one toolchain, whose packages come from a folder, and no index."""
    for folder in ("locks", "wheels"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(toolchains.catalogue, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(toolchains.catalogue, "CATALOGUE", (TINY,))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return replace(settings, toolchains=tmp_path / "toolchains")


def wheel(tmp_path: Path, name: str, *, content: str = "", needs: str = "") -> str:
    """Write NAME 1.0 into the folder of wheels; returns its sha256 as a lock names it."""
    path = tmp_path / "wheels" / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(f"{info}/METADATA", metadata)
        kind = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", kind)
        names = (f"{name}.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        archive.writestr(f"{info}/RECORD", "".join(f"{n},,\n" for n in names))
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def lock(tmp_path: Path, *lines: str) -> None:
    (tmp_path / "locks" / "tiny.txt").write_text("# a lock\n" + "\n".join(lines) + "\n")


def test_what_the_lock_names_by_its_hash_is_installed(tiny: Settings, tmp_path: Path) -> None:
    digest = wheel(tmp_path, "tiny")
    other = "sha256:" + "0" * 64
    lock(tmp_path, f"tiny==1.0 \\\n    --hash={other} \\\n    --hash={digest}")
    (pin,) = read_lock(TINY.lock_file)
    assert (pin.requirement, pin.hashes, pin.applies) == ("tiny==1.0", (other, digest), True)
    assert install_toolchain("tiny", tiny).version == "1.0"


def test_a_wheel_of_other_bytes_is_refused(tiny: Settings, tmp_path: Path) -> None:
    digest = wheel(tmp_path, "tiny")
    lock(tmp_path, f"tiny==1.0 --hash={digest}")
    mark = tmp_path / "ran"
    tampered = wheel(tmp_path, "tiny", content=f"open({str(mark)!r}, 'w')")
    with pytest.raises(ToolError, match="not the one that the lock names") as caught:
        install_toolchain("tiny", tiny)
    assert digest.removeprefix("sha256:") in caught.value.details
    assert tampered.removeprefix("sha256:") in caught.value.details
    assert "Do not install it" in caught.value.remedy
    with pytest.raises(NotFoundError):
        find_toolchain("tiny", tiny)
    assert not home_of(TINY, tiny).exists()
    assert not mark.exists()


def test_one_tampered_wheel_among_many_stops_them_all(tiny: Settings, tmp_path: Path) -> None:
    lock(
        tmp_path,
        f"tiny==1.0 --hash={wheel(tmp_path, 'tiny')}",
        f"helper==1.0 --hash={wheel(tmp_path, 'helper')}",
    )
    wheel(tmp_path, "helper", content="# tampered")
    with pytest.raises(ToolError, match="not the one that the lock names") as caught:
        install_toolchain("tiny", tiny)
    assert "helper" in caught.value.details
    assert not home_of(TINY, tiny).exists()


def test_torch_stands_without_a_hash_and_brings_what_its_wheel_names(
    tiny: Settings, tmp_path: Path
) -> None:
    lock(tmp_path, f"tiny==1.0 --hash={wheel(tmp_path, 'tiny')}", "torch==1.0")
    wheel(tmp_path, "torch", content="# whichever the index has", needs="accelerator==1.0")
    wheel(tmp_path, "accelerator")
    events: list[Event] = []
    made = install_toolchain("tiny", tiny, observe=events.append)
    assert {"tiny", "torch", "accelerator"} <= made.versions.keys()
    said = [event.text for event in events if isinstance(event, Note)]
    assert "installing torch, by version alone" in said


def test_a_lock_pins_every_package(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("tiny>=1.0\n")
    with pytest.raises(ValueError, match="pins each package"):
        read_lock(tmp_path / "lock.txt")
