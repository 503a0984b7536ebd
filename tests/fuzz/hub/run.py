"""Many requests to one hub, and what must hold of it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import HypothesisException

from tests.fuzz.hub.description import operations
from tests.fuzz.hub.messages import messages, plain
from tests.fuzz.hub.wire import Answer, Message, Wire
from tests.fuzz.hub.world import World
from tests.watched_hub import WatchedHub, faults

BATCH = 1000  # requests after which the repository is made anew, and the process is looked at
WARM = 3000  # requests that load code, and fill what is kept on purpose
GROWTH = 50  # MiB
_HEALTH = 200  # requests between two health questions
_THREADS = 220  # starlette's 40, 64 for bodies each way, exports, the loop


class Failed(AssertionError):
    """A kind of failure that was not seen before."""


@dataclass
class Failure:
    """One kind of failure.

    Attributes:
        kind: what it is.
        message: the shortest request that has it.
        answer: to it.
        log: what the hub wrote.
        count: how often it was seen.
    """

    kind: str
    message: Message
    answer: Answer
    log: str
    count: int = 0


@dataclass
class Report:
    """How a run went.

    Attributes:
        sent: requests.
        seconds: in all.
        statuses: how often each was answered; 0 is no answer.
        operations: how often each was asked for, and granted.
        failures: by kind.
        problems: what did not hold of the process.
        memory: MiB of the process after the warm-up, and after each batch from there on.
    """

    sent: int = 0
    seconds: float = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.failures and not self.problems and self.sent > 0


class Run:
    """Sends requests to a hub, and judges it.

    Args:
        watched: the hub.
        report: is filled.
        quick: whether failures are told as they are found, without a search for shorter ones.
    """

    def __init__(self, watched: WatchedHub, report: Report, *, quick: bool = False) -> None:
        self._watched, self.report, self._quick = watched, report, quick
        self._world, self._wire = World(watched), Wire(watched.address)
        self._allowed = {operation.name: operation.answers for operation in operations()}
        self._last = {operation.name for operation in operations() if operation.last}

    def run(self, runs: int, first: int, told: Callable[[Report], None]) -> None:
        """Send so many requests.

        Args:
            runs: how many at least.
            first: seed of the first batch; each has the next.
            told: is told of the report after each batch.
        """
        began, batch = time.monotonic(), 0
        report = self.report
        descriptors = self._watched.descriptors
        while report.sent < runs and self._watched.hub.process.poll() is None:
            self._world.prepare()
            self._batch(min(BATCH, runs - report.sent), first * 1_000_003 + batch)
            batch += 1
            report.seconds = time.monotonic() - began
            self._look()
            told(report)
        self._wire.close()
        self._end(descriptors + 10)
        report.seconds = time.monotonic() - began

    def send(self, message: Message) -> Failure | None:
        """Send one request; what was wrong with its answer."""
        answer = self._wire.ask(self._world.fill(message))
        report = self.report
        report.sent += 1
        report.statuses[answer.status] += 1
        report.operations[message.operation] += 1
        report.granted[message.operation] += answer.status in (200, 206, 304)
        log = self._log(answer)
        kind = self.judge(message, answer, log)
        if answer.status == 200 and message.operation in self._last:
            self._world.prepare()
        if report.sent % _HEALTH == 0 and not self._watched.is_healthy():
            report.problems.append(f"after {report.sent} requests /health is not answered in 10 s")
        return Failure(kind, message, answer, log) if kind else None

    def _log(self, answer: Answer) -> str:
        """What the hub wrote about a request; of what failed it writes after its answer."""
        log = self._watched.new_log()
        until = time.monotonic() + 1
        while answer.status == 500 and time.monotonic() < until:
            time.sleep(0.02)
            more = self._watched.new_log()
            if log and not more:
                break
            log += more
        return log

    def judge(self, message: Message, answer: Answer, log: str) -> str:
        """The kind of failure, or nothing."""
        if self._watched.hub.process.poll() is not None:
            return f"the hub ended with {self._watched.hub.process.returncode}"
        if found := faults(log):
            return f"a traceback: {found[-1]}"
        allowed = self._allowed.get(message.operation, frozenset())
        if answer.status >= 500 and answer.status not in allowed:
            if answer.status == 501 and len(answer.body.split()) > 3:
                return ""
            return f"{answer.status} {message.operation}: {answer.body[:60]!r}"
        if answer.status == 0 and answer.problem == "silence":
            return f"no answer to {message.operation} in 20 s"
        # What is refused before its end may lose its answer on the way.
        if answer.status == 0 and message.sound and len(message.body) < 60_000:
            return f"no answer to {message.operation}: {answer.problem}"
        return ""

    def _batch(self, size: int, number: int) -> None:
        """Send random requests; of a new kind of failure, look for the shortest."""
        phases = [Phase.generate] if self._quick else [Phase.generate, Phase.shrink]
        known = set(self.report.failures)

        @seed(number)
        @settings(
            max_examples=size,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            print_blob=False,
        )
        @given(messages())
        def one(message: Message) -> None:
            failure = self.send(message)
            if failure is None:
                return
            self.note(failure)
            if failure.kind not in known and not self._quick:
                raise Failed(failure.kind)

        try:
            one()
        except (Failed, HypothesisException):  # what was found is in the report
            pass

    def note(self, failure: Failure) -> None:
        """Count a failure, and keep its request if it is the best of its kind so far."""
        found = self.report.failures.setdefault(failure.kind, failure)
        found.count += 1
        if _rank(failure) < _rank(found):
            found.message, found.answer, found.log = failure.message, failure.answer, failure.log

    def _look(self) -> None:
        if self._watched.hub.process.poll() is not None:
            return
        if self.report.sent >= WARM:
            self.report.memory.append(self._watched.memory)
        if (threads := self._watched.threads) > _THREADS:
            self.report.problems.append(f"{threads} threads after {self.report.sent} requests")

    def _end(self, descriptors: int) -> None:
        """What must hold when all was sent: everything works, and nothing is kept."""
        report, process = self.report, self._watched.hub.process
        if process.poll() is not None:
            report.problems.append(f"the hub ended with {process.returncode}")
            return
        self._world.prepare()
        for operation in sorted(operations(), key=lambda one: one.last):
            for body in operation.bodies or (None,):
                answer = self._wire.ask(self._world.fill(plain(operation, body)))
                if answer.status not in operation.answers:
                    report.problems.append(
                        f"at the end {operation.name} is answered {answer.status}"
                        f" {answer.body[:200]!r} {answer.problem}"
                    )
                if operation.last:
                    self._world.prepare()
        self._wire.close()
        if (found := self._watched.settled(descriptors)) > descriptors:
            report.problems.append(f"{found} descriptors are open, {descriptors - 10} at the start")
        if report.memory and self._watched.memory - report.memory[0] > GROWTH:
            grown = self._watched.memory - report.memory[0]
            report.problems.append(f"memory grew by {grown:.0f} MiB from {report.memory[0]:.0f}")


def keep(report: Report, folder: Path) -> dict[str, Path]:
    """Write each failure's request into a folder; the file of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for kind, failure in report.failures.items():
        path = folder / f"{hashlib.sha256(kind.encode()).hexdigest()[:10]}.http"
        path.write_bytes(failure.message.head + failure.message.body)
        text = f"{kind}\n\n{failure.answer}\n\n{failure.log[-6000:]}"
        path.with_suffix(".txt").write_text(text, errors="backslashreplace")
        files[kind] = path
    return files


def _rank(failure: Failure) -> tuple[bool, int]:
    """What makes an example of a failure better: its own answer tells it, and it is short."""
    message = failure.message
    return failure.answer.status < 500, len(message.head) + len(message.body)
