"""A file system in an image file, and copies of it as the disk has it at one moment."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SIZE = 384 * 2**20  # bytes; a sparse file
_TRIES = 20
# Without the lazy options ext4 itself goes on to write zeros in the background.
_MKFS = ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0")
_OPTIONS = "loop,commit=600"  # seconds; nothing but fsync commits the journal
_LATE = {"dirty_expire_centisecs": "360000", "dirty_writeback_centisecs": "0"}
_WRITTEN = (4, 6, 8, 11, 15)  # of a device's `stat`: writes, sectors, in flight, discards, flushes


class CannotJudge(Exception):
    """The harness lacks what it needs to say anything."""


def make_image(image: Path) -> None:
    """An empty ext4 file system; raises CannotJudge."""
    with image.open("wb") as file:
        file.truncate(_SIZE)
    _run(*_MKFS, str(image))


def copy_image(image: Path, target: Path) -> None:
    """Copy an image and its holes; raises CannotJudge."""
    _run("cp", "--sparse=auto", "--reflink=auto", str(image), str(target))


class Disk:
    """An image that is mounted.

    Args:
        image: the file with the file system.
        folder: where it is mounted.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self.folder = image, folder
        device = folder.stat().st_dev
        self._counters = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")

    def copy(self, target: Path) -> None:
        """Copy the image as it is at one moment.

        Who might write must be stopped; what the kernel has in flight for them may still come.

        Raises:
            CannotJudge: the device does not come to rest.
        """
        for _ in range(_TRIES):
            before = self._written()
            copy_image(self._image, target)
            if before == self._written() and before[2] == 0:
                return
            time.sleep(0.01)
        raise CannotJudge(f"{self._image} changed in each of {_TRIES} copies: others write to it")

    def _written(self) -> list[int]:
        counters = self._counters.read_text().split()
        return [int(counters[column]) for column in _WRITTEN]


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Disk]:
    """Mount an image until the block ends; its loop device goes with the mount.

    Raises:
        CannotJudge: it may not be mounted here.
    """
    folder.mkdir(exist_ok=True)
    _run("mount", "-t", "ext4", "-o", _OPTIONS, str(image), str(folder))
    try:
        yield Disk(image, folder)
    finally:
        _unmount(folder)


def _unmount(folder: Path) -> None:
    for _ in range(50):
        done = subprocess.run(["umount", str(folder)], capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.1)  # a process that was killed is still going
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def force_out(*paths: Path) -> None:
    """Call fsync for files and folders."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def late_writeback() -> Iterator[None]:
    """Let the kernel write back nothing on its own, as long as memory is free.

    It counts for all disks of the machine, so it is for seconds only, and for one harness at a
    time: a second one would take the first one's values for those to go back to.
    Where that may not be set, the witnesses of each trial tell whether it mattered.
    """
    folder, before = Path("/proc/sys/vm"), dict[str, str]()
    lock = os.open("/dev/loop-control", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, value in _LATE.items():
            try:
                before[name] = (folder / name).read_text()
                (folder / name).write_text(value)
            except OSError:
                before.pop(name, None)
        yield
    finally:
        for name, known in before.items():
            (folder / name).write_text(known)
        os.close(lock)


def require_disks(folder: Path) -> None:
    """Raise CannotJudge, with a sentence that says why, where no image can be mounted."""
    for program in ("mkfs.ext4", "mount", "umount", "unshare"):
        if shutil.which(program) is None:
            raise CannotJudge(f"There is no {program} here: it takes e2fsprogs and util-linux")
    if os.geteuid() != 0:
        raise CannotJudge("Mounting takes root: run it as root, on a machine with loop devices")
    image = folder / "probe.img"
    make_image(image)
    with mounted(image, folder / "probe"):
        pass
    _run("unshare", "--mount", "mount", "--bind", str(image), "/proc/sys/kernel/random/boot_id")
    image.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise CannotJudge(f"Loop devices are not to be had here: {' '.join(command)}: {said}")
