"""The machine of a trial: its processes, which all live on one disk and end with the power."""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.faults.children import Ended
from tests.own_hub import ROOT

_LONGEST = 90.0  # seconds; longer is a hang
_PART = 2**18  # bytes of a hub's parts
_numbers = itertools.count()
# Commands of a machine that was started again see another boot id and boot time.
_AGAIN = (
    'mount --bind "$0/boot_id" /proc/sys/kernel/random/boot_id && '
    'mount --bind "$0/stat" /proc/stat && exec "$@"'
)


class Failed(Exception):
    """Something that must work did not."""


class Process:
    """A running command; that it ends with 0 is its answer."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        self._began = time.monotonic()

    def wait(self, longest: float = _LONGEST) -> Ended:
        """Until it ends; the code is None if it takes longer than some seconds."""
        if self._process.returncode is not None:
            return self._ended(self._process.returncode)
        handle = os.pidfd_open(self._process.pid)  # told at once; Popen would look every 50 ms
        try:
            ended = bool(select.select([handle], [], [], longest)[0])
        finally:
            os.close(handle)
        return self._ended(self._process.wait() if ended else None)

    def _ended(self, code: int | None) -> Ended:
        seconds = time.monotonic() - self._began
        out, err = (
            path.read_text(errors="replace") for path in (self._log, self._log.with_suffix(".err"))
        )
        return Ended(code, out, err, seconds)

    def reap(self) -> None:
        """Forget a process that was killed."""
        self._process.wait()


class Machine:
    """Processes with their data, registry and cache on one disk.

    Args:
        folder: of this machine, not on the disk: logs and what stands for the kernel's files.
        disk: where the disk is mounted.
        apart: qreg's data folder is not on the disk; what it forces out there does not help then.
    """

    def __init__(self, folder: Path, disk: Path, *, apart: bool = False) -> None:
        self._folder, self.disk = folder, disk
        self._marker = f"QREG_TRIAL={uuid.uuid4().hex}"
        self._processes: list[Process] = []
        self._boot: Path | None = None
        self._data = folder / "data" if apart else disk / "data"
        for name in ("home", "tmp", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def registry(self) -> str:
        """The registry on the disk, as a URL."""
        return f"file://{self.disk}/registry"

    @property
    def output(self) -> Path:
        """A folder on the disk, for what is pulled."""
        return self.disk / "work" / "output"

    @property
    def elsewhere(self) -> Path:
        """A folder that is not on the disk."""
        return self._folder / "home"

    @property
    def started_again(self) -> bool:
        """Whether the power was cut."""
        return self._boot is not None

    def start(self, *arguments: object, **variables: str) -> Process:
        """Begin a command of qreg."""
        return self.python("-m", "qreg", *arguments, **variables)

    def run(self, *arguments: object, **variables: str) -> Ended:
        """A command of qreg, from its begin to its end."""
        return self.start(*arguments, **variables).wait()

    def python(self, *arguments: object, **variables: str) -> Process:
        """Begin another program in Python."""
        log = self._folder / "logs" / f"{next(_numbers)}.log"
        with log.open("wb") as out, log.with_suffix(".err").open("wb") as err:
            process = Process(self._popen(arguments, variables, out.fileno(), err.fileno()), log)
        self._processes.append(process)
        return process

    def hub(self) -> str:
        """Serve the registry on the disk; return the address when it answers."""
        options = ("--quiet", "--port", 0, "--part-size", _PART, "--store", self.registry)
        process = self.start("hub", "serve", *options)
        until = time.monotonic() + _LONGEST
        while time.monotonic() < until:
            ended = process.wait(0.02)
            if ended.out.endswith("\n"):
                return ended.out.strip()
            if ended.code is not None:
                raise Failed(f"the hub does not start: {ended.said}")
        raise Failed("the hub does not start in time")

    def stop(self) -> None:
        """Stop all processes where they are."""
        self._signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End all processes, those in the background too, as a power cut does."""
        while self._signal(signal.SIGKILL):
            for process in self._processes:
                process.reap()
            time.sleep(0.01)
        self._processes.clear()

    def restart(self) -> None:
        """Let what is begun from now on see that the machine was started again."""
        boot = self._folder / f"boot-{next(_numbers)}"
        boot.mkdir()
        (boot / "boot_id").write_text(f"{uuid.uuid4()}\n")
        lines = Path("/proc/stat").read_text().splitlines()
        now = f"btime {int(time.time()) + 1}"
        said = [now if line.startswith("btime ") else line for line in lines]
        (boot / "stat").write_text("\n".join([*said, ""]))
        self._boot = boot

    def _popen(
        self, arguments: tuple[object, ...], variables: dict[str, str], out: int, err: int
    ) -> subprocess.Popen[str]:
        key, _, value = self._marker.partition("=")
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "QREG_DATA": str(self._data),
            "QREG_CACHE": str(self.disk / "cache"),
            "QREG_REGISTRY": self.registry,
            "QREG_SOURCES": self.registry,
            "QREG_ATTEMPTS": "3",
            **variables,
            key: value,
        }
        command = [sys.executable, *map(str, arguments)]
        if self._boot:
            command = ["unshare", "--mount", "sh", "-c", _AGAIN, str(self._boot), *command]
        return subprocess.Popen(
            command, env=environment, cwd=self._folder, stdin=subprocess.DEVNULL,
            stdout=out, stderr=err, text=True,
        )  # fmt: skip

    def _signal(self, number: signal.Signals) -> bool:
        """Send a signal to all; False if there is none."""
        found = False
        for pid in self._alive():
            try:
                os.kill(pid, number)
                found = True
            except ProcessLookupError:
                continue
        return found

    def _alive(self) -> Iterator[int]:
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self._marker.encode() in path.read_bytes():
                    yield int(path.parent.name)
            except OSError:
                continue  # it ended meanwhile
