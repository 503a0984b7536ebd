"""Memory that a virtual machine does not hand back to its host while a benchmark runs.

Free memory is handed back in blocks of 2 MiB, and whoever gets it again waits for the host: the
same client then takes half as long again, or not. What is freed in smaller pieces stays.

    python -m benchmarks.memory BYTES      holds it until its standard input ends
"""

from __future__ import annotations

import mmap
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_APART = 2**18  # bytes between two pages that are kept; several to each block


@contextmanager
def warm(size: int) -> Iterator[None]:
    """Have so many bytes of free memory at hand until the block ends.

    The kernel prefers such pieces to whole blocks for what it gives out page by page, as files are.
    A process of its own holds them: else they would count as the memory of whatever is started.

    Args:
        size: in bytes; 1/64 of it is held.
    """
    command = [sys.executable, "-m", "benchmarks.memory", str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        if process.stdout.read(1) != b"+":
            raise SystemExit(f"There is no room for {size} bytes of memory")
        yield
        process.communicate()


def _hold(size: int) -> None:
    page = mmap.PAGESIZE
    size -= size % _APART
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        memory[::page] = b"x" * (size // page)
        for offset in range(0, size, _APART):
            memory.madvise(mmap.MADV_DONTNEED, offset + page, _APART - page)
        sys.stdout.write("+")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    _hold(int(sys.argv[1]))
