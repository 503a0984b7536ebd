"""The side of every node but the first: it joins, runs its part, and ends with the first node."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.config import Settings
from registry.errors import IncompatibleError, QregError, ToolError, TransferError
from registry.progress import Observer, Progress, ignore
from serving.engines import open_engine
from serving.launch import how_it_ended, require_launchable, working_folder
from serving.nodes.place import Place, settled
from serving.nodes.terms import terms_of
from serving.nodes.wire import BEAT, PORT, Gone, Wire, end_of, say_end
from serving.plan import Plan
from toolchains import Tool, find_toolchain
from toolchains.environment import ENGINE_SECRETS
from toolchains.interpreter import python_environment
from toolchains.process import started

_TRY = 1.0  # seconds between two attempts to reach the first node
_POLL = 0.1
_NEWS = 4.0  # seconds in which the first node can say that it ended before this one did


class Member:
    """The connection to the first node. `over` is set when that ended; `trouble` says why."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._closed = threading.Event()
        self.over = threading.Event()
        self.started = threading.Event()
        self.ready = threading.Event()
        self.trouble: QregError | None = None
        for work in (self._hear, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def check(self) -> None:
        """Raise why the first node ended, if it did and was not stopped as it should be."""
        if self.over.is_set() and self.trouble is not None:
            raise self.trouble

    def end(self, error: BaseException | None) -> None:
        """Tell the first node that this one ends, and why."""
        self._closed.set()
        say_end(self._wire, error, ready=self.ready.is_set())
        self._wire.close()

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

    Args:
        plan: of all nodes.
        node: this one's number, from 1.
        place: where it stands.
        settings: where toolchain and logs are.
        limit: seconds until the first node must answer, and again until the server must.
        observe: is told what is waited for, and the engine's steps.
        port: where the first node listens for the others.

    Raises:
        IncompatibleError: the plan has errors, or is not that of the first node.
        NotFoundError: the engine's toolchain is not installed.
        TransferError: the first node did not answer in time.
        ToolError: the engine died, or the first node ended or was lost.
        Interrupted: the first node was interrupted before the server was ready.
    """
    require_launchable(plan)
    engine = open_engine(plan.engine)
    toolchain = find_toolchain(engine.toolchain, settings)
    member = _join(plan, node, place, port, limit, observe)
    own = settled(plan, node, place, os.environ)
    cause: BaseException | None = None
    try:
        _await_start(member, place, limit, observe)
        began = time.monotonic()
        log = settings.new_log(f"serve-{plan.artifact}-node{node}")
        with started(
            own.argv_of(node),
            log=log,
            env={**python_environment(toolchain, observe=observe), **own.env_of(node)},
            cwd=working_folder(settings),
            secrets=ENGINE_SECRETS,
        ) as tool:
            _await_ready(own, tool, member, limit, observe)
            yield Part(own, tool, time.monotonic() - began, member)
    except BaseException as error:
        cause = error
        raise
    finally:
        member.end(cause)


def _join(
    plan: Plan, node: int, place: Place, port: int, limit: float, observe: Observer
) -> Member:
    observe(Progress(f"waiting for the first node at {place.first}:{port}"))
    deadline = time.monotonic() + limit
    while True:
        try:
            source = (place.address, 0)
            connection = socket.create_connection((place.first, port), _TRY * 5, source)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise TransferError(
                    f"The first node did not answer at {place.first}:{port} within {limit:.0f} "
                    f"seconds: {error.strerror or error}",
                    remedy="Start `qreg serve` there with --node 0 , and let this machine reach "
                    "that port. --timeout gives it more time.",
                ) from error
            time.sleep(_TRY)
    wire = Wire(connection)
    try:
        wire.say("hello", node=node, terms=terms_of(plan))
        answer = wire.hear()
        while answer.get("say") == "alive":
            answer = wire.hear()
    except Gone as gone:
        wire.close()
        raise TransferError(
            f"What listens at {place.first}:{port} did not let this node join: {gone}",
            remedy="Check that qreg serve --node 0 of the same version runs there.",
        ) from gone
    if answer.get("say") != "welcome":
        wire.close()
        raise _refused(answer, plan, node)
    return Member(wire)


def _refused(answer: Mapping[str, object], plan: Plan, node: int) -> QregError:
    differs = answer.get("differs")
    if not isinstance(differs, list):
        why = answer.get("why")
        return IncompatibleError(
            f"The first node refused node {node}: {why if isinstance(why, str) else 'no reason'}",
            remedy="Give each node a number of its own, and all the same --nodes .",
        )
    names = [name for name in differs if isinstance(name, str)][:20]
    here = [f"{name} {plan.value(name) or ''}".strip() for name in names]
    return IncompatibleError(
        f"The plan of node {node} is not that of the first node. What differs: "
        f"{', '.join(here) or 'flags that only the first node has'}",
        remedy="Serve the same artifact with the same release and arguments on all nodes; what was "
        "derived from each machine can be given on all: flags after -- , variables by export.",
    )


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


def _await_ready(plan: Plan, tool: Tool, member: Member, limit: float, observe: Observer) -> None:
    engine = open_engine(plan.engine)
    deadline = time.monotonic() + limit
    while not member.ready.is_set():
        for line in tool.lines():
            progress = engine.read_line(line)
            if progress is not None:
                observe(progress)
        _require_first(member)
        _require_running(plan, tool, member, "at start-up")
        if time.monotonic() > deadline:
            raise ToolError(
                f"The server was not ready within {limit:.0f} seconds",
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
    member.over.wait(_NEWS)
    member.check()
    if not member.over.is_set():
        raise how_it_ended(plan, tool, when)
