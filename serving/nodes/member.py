"""The side of every node but the first: it joins, runs its part, and ends with the first node."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from registry.config import Settings
from registry.errors import QregError, ToolError, TransferError
from registry.progress import Observer, Progress, ignore
from serving.engines import open_engine
from serving.evidence.engine_log import StartWatch
from serving.evidence.record import keep_smoke, new_identity
from serving.evidence.start import keep_failed, keep_ready
from serving.failures import require_free_memory
from serving.launch import how_it_ended, require_launchable, working_folder
from serving.nodes.first_cause import is_echo
from serving.nodes.joining import join
from serving.nodes.place import Place, settled
from serving.nodes.wire import BEAT, PORT, STOPPING, Gone, Wire, end_of, say_end
from serving.plan import Plan
from toolchains import Tool, find_toolchain
from toolchains.environment import ENGINE_SECRETS
from toolchains.interpreter import python_environment
from toolchains.process import started

_POLL = 0.1
# Seconds in which the first node can say that it ended before this one did. It is much shorter
# than the first node waits for news of this one (`leader._NEWS`).
_NEWS = 1.0
# Seconds beyond the limit that this node waits for the first one, which is the judge of it.
_LATER = 30.0


class Member:
    """The connection to the first node.

    `stopping` is set when that is about to end its engine, `over` when it ended; `trouble` says
    why.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._closed = threading.Event()
        self.over = threading.Event()
        self.started = threading.Event()
        self.ready = threading.Event()
        self.stopping = threading.Event()
        self._fell: float | None = None
        self.trouble: QregError | None = None
        for work in (self._hear, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def check(self) -> None:
        """Raise why the first node ended, if it did and was not stopped as it should be."""
        if self.over.is_set() and self.trouble is not None:
            raise self.trouble

    def await_news(self) -> None:
        """Give the first node time to say why it ended, when the engine here has ended."""
        self._fell = time.monotonic()
        self.over.wait(STOPPING if self.stopping.is_set() else _NEWS)

    def ask_why(self, error: ToolError) -> None:
        """Let the first node say what ended it, when the engine here says that it lost another.

        Raises:
            QregError: what ended the first node.
        """
        say_end(self._wire, error, ready=self.ready.is_set(), since=self._since(), what="fell")
        self.over.wait(STOPPING)
        if self.trouble is not None and error.message not in self.trouble.message:
            raise self.trouble

    @contextlib.contextmanager
    def hold(self, tool: Tool) -> Iterator[None]:
        """Tell the first node at the end of a block, before the engine here is ended.

        Its engine may fall when this one is ended: told before, it knows why.
        """
        try:
            yield
        finally:
            if tool.running:
                self._wire.say("stopping")

    def end(self, error: BaseException | None) -> None:
        """Tell the first node that this one ends, and why."""
        self._closed.set()
        say_end(self._wire, error, ready=self.ready.is_set(), since=self._since())
        self._wire.close()

    def _since(self) -> float:
        return time.monotonic() - self._fell if self._fell is not None else 0.0

    def _beat(self) -> None:
        while not self._closed.wait(BEAT):
            self._wire.say("alive")

    def _hear(self) -> None:
        try:
            while not self.over.is_set():
                message = self._wire.hear()
                what = message.get("say")
                if what == "start":
                    self.started.set()
                elif what == "ready":
                    self.ready.set()
                elif what == "stopping":
                    self.stopping.set()
                elif what == "end":
                    self.trouble = end_of(message, "The first node")
                    self.over.set()
        except Gone as gone:
            if not self._closed.is_set():
                self.trouble = ToolError(
                    f"The first node ({self._wire.peer}) was lost: {gone}",
                    remedy="See the log of that node and whether its machine is well.",
                )
                self.over.set()


@dataclass(frozen=True)
class Part:
    """A node's part of a server that answers.

    Attributes:
        tool: its processes and log.
        seconds: from start to ready.
        plan: of all nodes, with this one's own address.
    """

    plan: Plan
    tool: Tool
    seconds: float
    member: Member

    @property
    def log(self) -> Path:
        """The engine's log, whole."""
        return self.tool.log

    def wait(self) -> None:
        """Wait until the first node is stopped.

        Raises:
            ToolError: the engine here ended by itself, or the first node failed or was lost.
        """
        while not self.member.over.is_set():
            _require_running(self.plan, self.tool, self.member, "while serving")
            time.sleep(_POLL)
        self.member.check()


@contextlib.contextmanager
def take_part(
    plan: Plan,
    node: int,
    place: Place,
    settings: Settings,
    *,
    limit: float,
    observe: Observer = ignore,
    port: int = PORT,
) -> Iterator[Part]:
    """Join the first node and run this node's part for the time of a block.

    What the start showed is kept as evidence on this machine, too, also if it failed.

    Args:
        plan: of all nodes.
        node: this one's number, from 1.
        place: where it stands.
        settings: name the toolchain, the logs and where evidence is kept.
        limit: seconds until the first node must answer, and again until the server must.
        observe: is told what is waited for, and the engine's steps.
        port: where the first node listens for the others.

    Raises:
        IncompatibleError: the plan has errors, takes memory that is not free here, or is not that
            of the first node.
        NotFoundError: the engine's toolchain is not installed.
        TransferError: the first node did not answer in time.
        ToolError: the engine died, or the first node ended or was lost.
        Interrupted: the first node was interrupted before the server was ready.
    """
    require_launchable(plan)
    engine = open_engine(plan.engine)
    toolchain = find_toolchain(engine.toolchain, settings)
    require_free_memory(plan)
    member = Member(join(plan, node, place, port, limit, observe))
    own = settled(plan, node, place, os.environ)
    cause: BaseException | None = None
    try:
        _await_start(member, place, limit, observe)
        log = settings.new_log(f"serve-{plan.artifact}-node{node}")
        with (
            started(
                own.argv_of(node),
                log=log,
                env={**python_environment(toolchain, observe=observe), **own.env_of(node)},
                cwd=working_folder(settings),
                secrets=ENGINE_SECRETS,
            ) as tool,
            member.hold(tool),
        ):
            watch = StartWatch(engine.steps)
            seen = (new_identity(), plan, tool, watch, settings)
            try:
                _await_ready(own, tool, member, limit, observe, watch)
            except QregError as error:
                keep_failed(*seen, error, node=node, observe=observe)
                raise
            part = Part(own, tool, watch.seconds, member)
            keep_ready(*seen, node=node, observe=observe)
            # The first node calls the server ready when its smoke request was answered.
            proof = {"node": node, "asked_by": "the first node"}
            keep_smoke(plan, seen[0], settings, proof, observe=observe)
            yield part
    except BaseException as error:
        cause = error
        raise
    finally:
        member.end(cause)


def _await_start(member: Member, place: Place, limit: float, observe: Observer) -> None:
    observe(Progress("joined; waiting for the other nodes"))
    deadline = time.monotonic() + limit
    while not member.started.is_set():
        _require_first(member)
        if time.monotonic() > deadline:
            raise TransferError(
                f"The first node ({place.first}) did not start within {limit:.0f} seconds",
                remedy="It waits until all nodes have joined: start the others.",
            )
        time.sleep(_POLL)


def _await_ready(
    plan: Plan, tool: Tool, member: Member, limit: float, observe: Observer, watch: StartWatch
) -> None:
    engine = open_engine(plan.engine)
    deadline = time.monotonic() + limit + _LATER
    while not member.ready.is_set():
        for line in tool.lines():
            watch.see(line)
            progress = engine.read_line(line)
            if progress is not None:
                observe(progress)
        _require_first(member)
        _require_running(plan, tool, member, "at start-up")
        if time.monotonic() > deadline:
            raise ToolError(
                f"The server was not ready within {limit + _LATER:.0f} seconds",
                remedy=f"See the log of the first node; this node's is {tool.log} .",
                details=tool.tail(),
            )
        time.sleep(_POLL)


def _require_first(member: Member) -> None:
    member.check()
    if member.over.is_set():
        raise ToolError("The first node was stopped before the server was ready")


def _require_running(plan: Plan, tool: Tool, member: Member, when: str) -> None:
    """Raise why the engine ended, if it did: its own reason, or that of the first node."""
    if tool.running:
        return
    member.await_news()
    member.check()
    if not member.over.is_set():
        error = how_it_ended(plan, tool, when)
        if is_echo(error):
            member.ask_why(error)
        if member.trouble is not None or not member.over.is_set():
            raise error
