"""Disks that are full while something is pulled to them, or published."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import checks
from tests.faults.checks import Outcome
from tests.faults.children import Sandbox
from tests.faults.model import tree, write_source
from tests.faults.places import PLACES, Place

NAME = "org/model"
_SMALL = 4 * 2**20  # bytes of a disk, or of a file on it; a source has more, in two files of 3 MB


def limited_files(place: Place, folder: Path) -> Iterator[Outcome]:
    """No file may grow beyond a size: the write that goes beyond fails with EFBIG."""
    sandbox = Sandbox(folder / "sandbox", place.environment)
    source = write_source(folder / "source", seed=1)
    before, output = tree(source), folder / "output"
    for size in (2**20, 3 * 2**20 // 2):
        limits = {"fsize": size}
        store = folder / f"store-{size}"
        publish = ("publish", source, "--name", NAME, "--to", f"file://{store}")
        there = Place("file", f"file://{store}", blobs=store)
        problems = [*checks.failed(sandbox.run(*publish, limits=limits), 7)]
        problems += [*checks.unchanged(source, before), *checks.whole(sandbox, there, NAME)]
        problems += checks.succeeded(sandbox.run(*publish))
        problems += checks.published(sandbox, there, NAME, source, before)
        yield Outcome("full disk", "file", f"publish, files of {size} bytes", tuple(problems))
    done = sandbox.run("publish", source, "--name", NAME, "--to", place.url)
    for into_cache in (True, False) if place.name != "file" else (False,):
        arguments = ["pull", place.reference(NAME), "--json"]
        arguments += [] if into_cache else ["--output", str(output)]
        problems = [*checks.succeeded(done)]
        problems += checks.failed(sandbox.run(*arguments, limits={"fsize": 2**20}), 7)
        problems += checks.nothing_accepted(sandbox, output)
        problems += _pulled(sandbox, arguments, before)
        shutil.rmtree(sandbox.cache, ignore_errors=True)
        what = f"pull {'into the cache' if into_cache else 'to a folder'}, files of 1 MiB"
        yield Outcome("full disk", place.name, what, tuple(problems))


def small_disk(place: Place, folder: Path) -> Iterator[Outcome]:
    """A disk of 4 MiB, where it may be mounted: ENOSPC in the middle of a file."""
    sandbox = Sandbox(folder / "sandbox", place.environment)
    source = write_source(folder / "source", seed=1)
    before = tree(source)
    done = sandbox.run("publish", source, "--name", NAME, "--to", place.url)
    disk = folder / "disk"
    with mounted(disk, _SMALL) as is_mounted:
        if not is_mounted:
            yield Outcome("full disk", place.name, "skipped: a tmpfs may not be mounted here")
            return
        store = Place("file", f"file://{disk}/store", blobs=disk / "store")
        publish = ("publish", source, "--name", NAME, "--to", store.url)
        problems = [*checks.failed(sandbox.run(*publish), 7), *checks.unchanged(source, before)]
        problems += checks.whole(sandbox, store, NAME)
        _grow(disk, 8 * _SMALL)
        problems += checks.succeeded(sandbox.run(*publish))
        problems += checks.published(sandbox, store, NAME, source, before)
        yield Outcome("full disk", "file", "publish to a disk of 4 MiB", tuple(problems))
        for limits in ({}, {"blind": 1.0}):
            for into_cache in (True, False) if place.name != "file" else (False,):
                shutil.rmtree(disk / "store", ignore_errors=True)
                _grow(disk, _SMALL)
                output, cache = disk / "output", disk / "cache"
                arguments = ["pull", place.reference(NAME), "--json"]
                arguments += [] if into_cache else ["--output", str(output)]
                env = {"QREG_CACHE": str(cache)}
                problems = [*checks.succeeded(done)]
                problems += checks.failed(sandbox.run(*arguments, env=env, limits=limits), 7)
                problems += checks.nothing_accepted(sandbox, output)
                problems += checks.corrupt_blobs(cache / "pulled")
                _grow(disk, 8 * _SMALL)
                problems += _pulled(sandbox, arguments, before, env)
                shutil.rmtree(output, ignore_errors=True)
                shutil.rmtree(cache, ignore_errors=True)
                what = f"pull {'into the cache' if into_cache else 'to a folder'} of 4 MiB"
                what += ", filled meanwhile" if limits else ""
                yield Outcome("full disk", place.name, what, tuple(problems))


def full_hub(name: str, folder: Path) -> Iterator[Outcome]:
    """A hub whose disk has room for one of two shards."""
    folder.mkdir()
    disk = folder / "hub"
    with mounted(disk, _SMALL) as is_mounted:
        if not is_mounted:
            yield Outcome("full hub", name, "skipped: a tmpfs may not be mounted here")
            return
        with PLACES[name](folder) as place:
            sandbox = Sandbox(folder / "sandbox", place.environment)
            source = write_source(folder / "source", seed=1)
            before = tree(source)
            publish = ("publish", source, "--name", NAME, "--to", place.url)
            ended = sandbox.run(*publish)
            problems = [*checks.failed(ended, 7), *checks.unchanged(source, before)]
            if "No space left" not in ended.err:
                problems.append(f"the hub does not say why: {ended.said}")
            problems += checks.whole(sandbox, place, NAME)
            _grow(disk, 8 * _SMALL)
            problems += checks.succeeded(sandbox.run(*publish))
            problems += checks.published(sandbox, place, NAME, source, before)
            yield Outcome("full hub", name, "publish to a hub with 4 MiB", tuple(problems))


def _pulled(
    sandbox: Sandbox,
    arguments: list[str],
    before: dict[str, str],
    env: dict[str, str] | None = None,
) -> Iterator[str]:
    rerun = sandbox.run(*arguments, env=env)
    yield from checks.succeeded(rerun)
    if rerun.code == 0:
        folder = Path(rerun.json["folder"])
        yield from checks.pulled(folder, before)
        yield from checks.leftovers(folder)
        if "--output" in arguments:
            shutil.rmtree(folder)


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[bool]:
    """A tmpfs until the block ends; False where it may not be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    try:
        done = subprocess.run(["mount", *options], capture_output=True, check=False)
    except FileNotFoundError:
        yield False
        return
    if done.returncode != 0:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def _grow(folder: Path, size: int) -> None:
    options = f"remount,size={size}"
    subprocess.run(["mount", "-o", options, str(folder)], check=True, capture_output=True)
