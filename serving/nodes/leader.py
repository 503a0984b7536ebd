"""The first node's side: it gathers the others, starts with them and ends with any of them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from registry.errors import QregError, ToolError, UsageError
from registry.progress import Observer, Progress, ignore
from serving.nodes.first_cause import first_cause, is_echo
from serving.nodes.place import Place
from serving.nodes.terms import MOST, differences
from serving.nodes.wire import (
    BEAT,
    PORT,
    SILENCE,
    STOPPING,
    Gone,
    Wire,
    end_of,
    listening,
    say_end,
    seconds_since,
)
from toolchains import Tool

_HELLO = 10.0  # seconds that a connection has to say who it is
_GUESTS = 32  # connections that may be saying it at once
_POLL = 0.1
# Seconds that the other nodes have to say why they ended, when this one's engine ended: one that
# was killed takes down those that it talked to, and the news of it may come after their end. It is
# much longer than the others wait (`member._NEWS`): who waits as long as the other hears nothing.
_NEWS = 7.0


class Leader:
    """The first node's connections to the others. `trouble` is why all must end."""

    def __init__(self, nodes: int, terms: Mapping[str, str]) -> None:
        self._nodes = nodes
        self._terms = terms
        self._lock = threading.Lock()
        self._joined: dict[int, Wire] = {}
        self._refused: dict[int, str] = {}
        self._guests = threading.Semaphore(_GUESTS)
        self._tool: Tool | None = None
        self._closed = threading.Event()
        self._over = threading.Event()
        self._leaving = threading.Event()  # another node is ending its engine
        self._ended_at = 0.0  # when another node ended, of `time.monotonic`
        self._explained = False
        self._cause: Exception | None = None
        self.trouble: QregError | None = None
        self.gathered = False
        self.asked = False  # whether the engine here was ended for another node's sake
        self.ready = False

    @property
    def missing(self) -> list[int]:
        """Numbers of the nodes that have not joined."""
        with self._lock:
            return [node for node in range(1, self._nodes) if node not in self._joined]

    @property
    def over(self) -> bool:
        """Whether another node has ended; if it was stopped as it should be, without `trouble`."""
        return self._over.is_set()

    def gather(self, limit: float, observe: Observer) -> None:
        """Wait until all nodes have joined, and let them start.

        They start together, since HCCL waits two minutes for ranks that come late, not longer.

        Raises:
            ToolError: a node did not join within `limit` seconds, or left.
            UsageError: nodes came with other plans.
        """
        deadline = time.monotonic() + limit
        told: list[int] = []
        while missing := self.missing:
            self._check()
            if missing != told:
                observe(Progress(f"waiting for {_named(missing)} to join"))
                told = missing
            if time.monotonic() > deadline:
                raise self._too_late(missing, limit)
            time.sleep(_POLL)
        self._tell("start")
        self.gathered = True

    def guard(self, tool: Tool) -> None:
        """End the engine as soon as another node has ended."""
        self._tool = tool
        if self.over:
            self._end_engine()

    @contextlib.contextmanager
    def hold(self, tool: Tool) -> Iterator[None]:
        """Guard the engine for the time of a block, and tell the others before it is ended.

        Their engines may fall when this one is ended: told before, they know why.
        """
        self.guard(tool)
        try:
            yield
        except Exception as error:
            self.cause_of(error)  # asked now: what is ended here ends the others, too
            raise
        finally:
            if tool.running:
                self._tell("stopping")

    def cause_of(self, error: Exception) -> Exception | None:
        """What ended all nodes, when `error` ended this one; see `Group`. The first answer stays.

        It may wait some seconds for what other nodes say.
        """
        if not self._explained:
            self._cause = self._explain(error)
            self._explained = True
        return self._cause

    def _explain(self, error: Exception) -> Exception | None:
        began_here, at = not self.asked, time.monotonic()
        if began_here and self.gathered:
            self._over.wait(STOPPING if self._leaving.is_set() else _NEWS)
        if not self.gathered or not self.over or error is self.trouble:
            return error
        if self.trouble is None or not began_here:
            return self.trouble
        return first_cause(error, self.trouble, self._ended_at - at)

    def announce(self) -> None:
        """Tell the other nodes that the server answers."""
        self.ready = True
        self._tell("ready")

    def serve(self, listener: socket.socket) -> None:
        """Take connections until the end; runs in a thread of its own."""
        listener.settimeout(BEAT)
        while not self._closed.is_set():
            self._tell("alive")
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._guests.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._receive, args=(connection,), daemon=True).start()

    def end(self, error: BaseException | None) -> None:
        """Tell the others that this node ends, and why."""
        self._closed.set()
        with self._lock:
            wires = list(self._joined.values())
        for wire in wires:
            say_end(wire, error, ready=self.ready)
            wire.close()

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        if self.over:
            raise ToolError("Another node was stopped before the server was ready")

    def _too_late(self, missing: list[int], limit: float) -> QregError:
        refused = "; ".join(self._refused[node] for node in missing if node in self._refused)
        what = f"{_named(missing)} has not joined within {limit:.0f} seconds"
        if refused:
            return UsageError(
                f"{what}: {refused}",
                remedy="Give the same release, artifact and arguments on all nodes.",
            )
        return ToolError(
            what,
            remedy="Start `qreg serve` there with the same arguments and its own --node . It must "
            f"reach TCP port {PORT} of this machine. --timeout gives it more time.",
        )

    def _tell(self, what: str) -> None:
        with self._lock:
            wires = list(self._joined.values())
        for wire in wires:
            wire.say(what)

    def _receive(self, connection: socket.socket) -> None:
        wire = Wire(connection, _HELLO)
        node = None
        try:
            try:
                node = self._admit(wire)
            finally:
                self._guests.release()
            if node is not None:
                self._follow(node, wire)
        except Gone as gone:
            if node is not None and not self._closed.is_set():
                why = f"Node {node} ({wire.peer}) was lost: {gone}"
                remedy = "See the log of that node and whether its machine is well."
                self._end_with(ToolError(why, remedy=remedy), time.monotonic())
        finally:
            wire.close()

    def _admit(self, wire: Wire) -> int | None:
        """The number of the node that a connection is of; None if it is refused."""
        hello = wire.hear(_HELLO)
        node, terms = hello.get("node"), _terms(hello.get("terms"))
        if hello.get("say") != "hello" or terms is None:
            return None
        if type(node) is not int or not 0 < node < self._nodes:
            wire.say("refused", why=f"there is no such node among {self._nodes}")
            return None
        with self._lock:
            if differing := differences(self._terms, terms):
                names = [name for name in differing if name in self._terms]
                self._refused[node] = f"node {node} differs in {', '.join(names) or 'its flags'}"
                wire.say("refused", differs=[name for name in differing if name in terms])
                return None
            if node in self._joined:
                wire.say("refused", why=f"node {node} has joined already")
                return None
            wire.patience(SILENCE)
            wire.say("welcome")
            self._joined[node] = wire
        return node

    def _follow(self, node: int, wire: Wire) -> None:
        while not self._closed.is_set():
            message = wire.hear()
            if message.get("say") == "stopping":
                self._leaving.set()
            elif message.get("say") in ("end", "fell"):
                why = end_of(message, f"Node {node} ({wire.peer})")
                self._end_with(why, time.monotonic() - seconds_since(message))
                if message["say"] == "end":
                    return

    def _end_with(self, trouble: QregError | None, at: float) -> None:
        with self._lock:
            if self._over.is_set():
                return
            self.trouble, self._ended_at = trouble, at
            self._over.set()
        if is_echo(trouble):
            time.sleep(_NEWS)  # the engine here may end by itself, and say more
        self._end_engine()

    def _end_engine(self) -> None:
        if self._tool is not None and self._tool.running:
            self.asked = True
            self._tell("stopping")
            self._tool.ask_to_end()


@contextlib.contextmanager
def lead(
    nodes: int,
    place: Place,
    terms: Mapping[str, str],
    limit: float,
    observe: Observer = ignore,
    *,
    port: int = PORT,
) -> Iterator[Leader]:
    """Gather the other nodes, and hold them for the time of a block; all end with it.

    What ends the block is told to the others. What ended another node is raised in place of what
    followed from it here; if it was stopped as it should be, the block ends well.

    Args:
        nodes: how many, this one included.
        place: of this node.
        terms: of the plan.
        limit: seconds until all must have joined.
        observe: is told who is waited for.
        port: to listen on.

    Raises:
        UsageError: the port is taken; or nodes came with another plan.
        ToolError: a node did not join, was lost or failed.
        Interrupted: a node was interrupted before the server was ready.
    """
    leader = Leader(nodes, terms)
    listener = listening(place.first, port, _GUESTS)
    threading.Thread(target=leader.serve, args=(listener,), daemon=True).start()
    cause: BaseException | None = None
    try:
        leader.gather(limit, observe)
        yield leader
    except KeyboardInterrupt as error:
        cause = error
        raise
    except Exception as error:
        cause = leader.cause_of(error)
        if cause is error:
            raise
        if cause is not None:
            raise cause from None
    finally:
        leader.end(cause)
        listener.close()


def _terms(value: Any) -> dict[str, str] | None:
    """A peer's terms; None if they are none."""
    if not isinstance(value, dict) or len(value) > MOST:
        return None
    alike = all(isinstance(text, str) for pair in value.items() for text in pair)
    return value if alike else None


def _named(nodes: list[int]) -> str:
    return f"node {nodes[0]}" if len(nodes) == 1 else f"nodes {', '.join(map(str, nodes))}"
