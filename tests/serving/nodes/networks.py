"""Two machines in one: network namespaces with a cable between them, as root on Linux."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """One end: commands begin with `inside`; its interface is named apart from the other's."""

    name: str
    interface: str
    address: str

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def processes(self) -> list[int]:
        """What runs in it."""
        done = _ip("netns", "pids", self.name)
        return [int(pid) for pid in done.split()]


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two network namespaces with addresses 10.77.0.1 and .2; they go with the block.

    It fails where it may not make them: a test that needs them proves nothing without.
    """
    tag = f"{os.getpid() % 100000}"
    first = Machine(f"qreg-a{tag}", f"qa{tag}", "10.77.0.1")
    second = Machine(f"qreg-b{tag}", f"qb{tag}", "10.77.0.2")
    try:
        for machine in (first, second):
            _ip("netns", "add", machine.name)
        _ip("link", "add", first.interface, "type", "veth", "peer", "name", second.interface)
        for machine in (first, second):
            _ip("link", "set", machine.interface, "netns", machine.name)
            within = ("-n", machine.name)
            _ip(*within, "address", "add", f"{machine.address}/24", "dev", machine.interface)
            _ip(*within, "link", "set", "lo", "up")
            _ip(*within, "link", "set", machine.interface, "up")
        yield first, second
    finally:
        for machine in (first, second):
            subprocess.run(["ip", "netns", "delete", machine.name], check=False)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert not done.returncode, f"ip {' '.join(words)}: {done.stderr} (root and Linux are needed)"
    return done.stdout
