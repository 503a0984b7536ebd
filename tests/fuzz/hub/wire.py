"""Requests as they are, byte by byte, and the answers to them."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """One request.

    Attributes:
        operation: that it was made of.
        method: of HTTP; HEAD has answers without a body.
        head: the request line and headers, with the empty line.
        body: what follows.
        sound: whether it is HTTP, however odd, so that an answer is due.
        ends: whether the sender has no more to say on this connection.
    """

    operation: str
    method: str
    head: bytes
    body: bytes = b""
    sound: bool = True
    ends: bool = False


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP; 0 if there was none.
        body: of it.
        problem: why there is no answer.
    """

    status: int
    body: bytes = b""
    problem: str = ""


class Wire:
    """A connection that is kept open as long as the hub does.

    Args:
        address: of the hub.
        patience: seconds until an answer is given up.
    """

    def __init__(self, address: tuple[str, int], patience: float = 20) -> None:
        self._address, self._patience = address, patience
        self._socket: socket.socket | None = None

    def ask(self, message: Message) -> Answer:
        """Send a request and read its answer."""
        kept = self._socket is not None
        answer = self._ask(message)
        # The hub may close a connection that it kept just when it is used again.
        if kept and not answer.status and not answer.problem.startswith("silence"):
            answer = self._ask(message)
        return answer

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, message: Message) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._patience)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        problem = ""
        try:
            self._socket.sendall(message.head + message.body)
            if message.ends:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:  # an answer may have come before
            problem = f"{type(error).__name__} while it was sent"
        try:
            response = http.client.HTTPResponse(self._socket, method=message.method)
            with response:
                response.begin()
                answer = Answer(response.status, response.read())
                ends = response.will_close
        except TimeoutError:
            answer, ends = Answer(0, problem="silence"), True
        except (OSError, http.client.HTTPException) as error:
            answer, ends = Answer(0, problem=problem or f"{type(error).__name__}: {error}"), True
        if ends or message.ends or not message.sound:
            self.close()
        return answer
