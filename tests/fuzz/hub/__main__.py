"""python -m tests.fuzz.hub [--runs 100000]: fuzz the hub, and say how it went; 1 if it failed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.hub.run import GROWTH, Report, Run, keep
from tests.fuzz.hub.wire import Message, Wire
from tests.fuzz.hub.world import OPTIONS, World
from tests.watched_hub import WatchedHub, watched_hub


def show(report: Report, files: Mapping[str, Path]) -> None:
    """The summary, for people; `files` keep the requests, by the kind of their failure."""
    rate = report.sent / max(report.seconds, 0.001)
    print(f"requests  {report.sent:,} in {report.seconds:.0f} s, {rate:,.0f}/s")
    answers = (f"{status or 'none'}: {n:,}" for status, n in sorted(report.statuses.items()))
    print(f"answers   {', '.join(answers)}")
    granted = sum(1 for name in report.operations if report.granted[name])
    print(f"routes    {len(report.operations)} asked, {granted} of them also granted something")
    if report.memory:
        warm, end = report.memory[0], report.memory[-1]
        grown = f"{end - warm:+.0f} at the end, {max(report.memory) - warm:+.0f} at most"
        print(f"memory    {warm:.0f} MiB when warm, {grown}; {GROWTH} are allowed")
    seen = sum(failure.count for failure in report.failures.values())
    print(f"failures  {seen:,} requests, {len(report.failures)} kinds")
    for kind, failure in sorted(report.failures.items(), key=lambda item: -item[1].count):
        request = (failure.message.head + b" " + failure.message.body)[:400]
        print(f"  {failure.count:6,} {kind}\n         {files[kind]}\n         {request!r}")
    for problem in report.problems:
        print(f"  {problem}")


@contextmanager
def hub() -> Iterator[WatchedHub]:
    """A hub to be fuzzed."""
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-hub-") as folder,
        watched_hub(Path(folder), *OPTIONS) as watched,
    ):
        yield watched


def replay(path: Path) -> int:
    """Send a request that was kept to a new hub; print the answer and what the hub logs."""
    head, end, body = path.read_bytes().partition(b"\r\n\r\n")
    with hub() as watched:
        world = World(watched)
        world.prepare()
        method = head.split(b" ", 1)[0].decode(errors="replace")
        message = world.fill(Message("replay", method, head + end, body, ends=True))
        print(Wire(watched.address).ask(message))
        print(watched.new_log())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.hub", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="requests to send")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument("--quick", action="store_true", help="do not look for short failures")
    parser.add_argument("--failures", type=Path, help="a folder for requests that failed")
    parser.add_argument("--replay", type=Path, help="send a request that was kept")
    asked = parser.parse_args(arguments)
    if asked.replay:
        return replay(asked.replay)
    report = Report()

    def told(report: Report) -> None:
        memory = f"{report.memory[-1]:.0f} MiB" if report.memory else "warming up"
        print(f"{report.sent:9,}  {memory}  {len(report.failures)} kinds of failures", flush=True)

    with hub() as watched:
        Run(watched, report, quick=asked.quick).run(asked.runs, asked.seed, told)
    folder = asked.failures or Path(tempfile.gettempdir(), "qreg-fuzz-hub-failures")
    show(report, keep(report, folder) if report.failures else {})
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
