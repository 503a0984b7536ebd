"""The connection between two nodes' qreg: a JSON object a line, and a sign of life every second.

It carries nothing secret, starts nothing but what the node itself was told to start, and bounds
what it reads: whoever else connects can be refused and nothing more.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

from registry.errors import Interrupted, QregError, ToolError, UsageError

PORT = 13390  # next to vLLM's own meeting port, 13389
BEAT = 1.0  # seconds between signs of life
SILENCE = 20.0  # seconds without any after which the other side is taken for gone
# Seconds from a node's word that it is stopping to its end: its engine has ten to end by itself.
STOPPING = 30.0
_LONGEST = 64 * 1024  # bytes of a line
_DETAILS = 8000  # characters of a log that are passed on
STOPPED, INTERRUPTED, FAILED = "stopped", "interrupted", "failed"


class Gone(Exception):
    """The other side is not there any more, or talks nonsense; the text says what was seen."""


class Wire:
    """One connection; `say` may be called by any thread, `hear` by one. `peer` is an address."""

    def __init__(self, connection: socket.socket, patience: float = SILENCE) -> None:
        self._socket = connection
        self._lock = threading.Lock()
        self._rest = b""
        try:
            self.peer = str(connection.getpeername()[0])
        except OSError:
            self.peer = "gone already"
        connection.settimeout(patience)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def patience(self, seconds: float) -> None:
        """Seconds of silence after which the other side is gone."""
        self._socket.settimeout(seconds)

    def say(self, what: str, **content: Any) -> None:
        """Send a message; nothing happens if nobody hears it, as `hear` notices."""
        line = json.dumps({"say": what, **content}).encode() + b"\n"
        with self._lock:
            try:
                self._socket.sendall(line)
            except OSError:
                pass

    def hear(self, within: float | None = None) -> dict[str, Any]:
        """The next message.

        Args:
            within: seconds until it must be here whole; None while there are signs of life.

        Raises:
            Gone: there is none.
        """
        deadline = None if within is None else time.monotonic() + within
        while b"\n" not in self._rest:
            if len(self._rest) > _LONGEST:
                raise Gone("it sent a line that is too long")
            if deadline is not None and time.monotonic() > deadline:
                raise Gone(f"it said nothing whole within {within:.0f} s")
            try:
                data = self._socket.recv(65536)
            except TimeoutError as error:
                raise Gone(f"nothing was heard of it for {self._socket.gettimeout():.0f} s") from (
                    error
                )
            except OSError as error:
                raise Gone(f"its connection broke ({error.strerror})") from error
            if not data:
                raise Gone("its qreg ended without a word, as one that is killed does")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Gone("it sent what is no message") from error
        if not isinstance(message, dict):
            raise Gone("it sent what is no message")
        return message

    def close(self) -> None:
        """End the connection; a thread that hears wakes up."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def listening(host: str, port: int, waiting: int) -> socket.socket:
    """A socket that other nodes can reach.

    Args:
        host: own address, a number.
        port: to listen on.
        waiting: connections that may wait to be taken.

    Raises:
        UsageError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(waiting)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"Port {port} on {host}, where the other nodes join, cannot be used: {error.strerror}",
            remedy="End the other launch of several nodes on this machine; `ss -ltnp` shows who "
            "has the port.",
        ) from error
    return listener


def say_end(
    wire: Wire, error: BaseException | None, *, ready: bool, since: float = 0.0, what: str = "end"
) -> None:
    """Tell the other side that this node ends, and why.

    Args:
        wire: to it.
        error: None or an interruption once it was `ready`: it was stopped.
        ready: whether the server answered.
        since: seconds since its engine ended, so that the other side can tell what came first.
        what: `end`, or `fell` if it waits for the other side's reason first.
    """
    if isinstance(error, QregError) and not isinstance(error, Interrupted):
        wire.say(
            what, how=FAILED, message=error.message, remedy=error.remedy,
            details=error.details[-_DETAILS:], since=round(since, 3),
        )  # fmt: skip
    elif isinstance(error, Exception) and not isinstance(error, Interrupted):
        wire.say("end", how=FAILED, message=f"qreg failed with {type(error).__name__}")
    else:
        wire.say("end", how=STOPPED if ready else INTERRUPTED)


def seconds_since(message: dict[str, Any]) -> float:
    """Seconds that had passed since a node's engine ended when it said so; 0 if it does not say."""
    since = message.get("since")
    return since if isinstance(since, int | float) and 0 <= since <= SILENCE else 0.0


def end_of(message: dict[str, Any], who: str) -> QregError | None:
    """Why another node ended, as an error; None if it was stopped as it should be."""
    how = message.get("how")
    if how == STOPPED:
        return None
    if how == INTERRUPTED:
        return Interrupted(f"{who} was interrupted before the server was ready")

    def text(key: str) -> str:
        value = message.get(key)
        return value[:_DETAILS] if isinstance(value, str) else ""

    return ToolError(
        f"{who}: {text('message') or 'it failed'}", remedy=text("remedy"), details=text("details")
    )
