"""The process that fuzzes: libFuzzer's loop, by atheris, around reading and linting an artifact.

    python -m tests.fuzz.target FAILURES MEMORY [libFuzzer's arguments]

`tests.fuzz` starts it: libFuzzer ends its process by itself, so that a summary comes from outside.
"""

from __future__ import annotations

import logging
import resource
import sys
import warnings
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(
    include=["registry.checkpoint", "registry.lint", "registry.names", "registry.artifact"]
):
    from tests.fuzz.failures import Failures
    from tests.fuzz.invariants import TARGETS, examine
    from tests.fuzz.shapes import artifact

READY = "ready at MiB:"


def main(folder: Path, memory: int, arguments: list[str]) -> None:
    """Fuzz; does not return.

    Args:
        folder: keeps the inputs that failed.
        memory: MiB that the process may grow by.
        arguments: of libFuzzer.
    """
    failures = Failures(folder)
    warnings.simplefilter("error")  # nothing in an artifact may make Python complain
    logging.disable()

    def one(data: bytes) -> None:
        try:
            examine(artifact(data), TARGETS[len(data) % len(TARGETS)])
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            failures.add(error, data)

    one(b"")  # what is imported late counts as ground, not as growth
    ground = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(READY, ground, flush=True)
    _limit_memory(memory)
    atheris.Setup([sys.argv[0], *arguments, f"-rss_limit_mb={ground + memory}"], one)
    atheris.Fuzz()


def _limit_memory(growth: int) -> None:
    """Larger requests fail with MemoryError, and that is a failure like any other."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (growth + 512) * 2**20  # threads' stacks, unused
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
