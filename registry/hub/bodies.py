"""Bodies of requests that are held in memory: how long, how slow, and how many at once.

Whoever asks is decided before a body is read (see `guard.py`): nothing here is done for a stranger
that a route does not let in. What public routes take is small, and strangers share one budget.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from registry.hub.errors import Refusal
from registry.hub.parsing import few, parse, whole

T = TypeVar("T")

SMALL = 64 * 2**10  # bytes of a request that names a few things, such as a login
MOST = 16 * 2**20  # bytes of a request that lists files
MOST_PATHS = 4 * 2**20  # bytes of a list of paths, which public repositories take from anyone
MOST_ACTIONS = (
    128 * 2**20
)  # bytes of a commit of ModelScope's client, which sends 8 MiB of contents
MOST_LINES = 512 * 2**20  # bytes of a commit that comes in lines; it is not held in memory
MOST_LINE = 16 * 2**20  # bytes of a line; files of more than 10 MiB come by themselves

SILENCE = 60.0  # seconds without a byte after which a body is given up
SLOWEST = 16 * 2**10  # bytes a second, after a first minute
_AWAY = 2**20  # bytes; longer JSON is read beside the event loop
_JSON = ("application/json", "application/x-ndjson", "application/vnd.git-lfs+json")
_FORM = "application/x-www-form-urlencoded"


class Budget:
    """Bytes of bodies that are held in memory at one moment, by all who share it.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, count: int) -> None:
        """Hold so many bytes more; a Refusal if there is no place for them."""
        if count > self._left:
            raise Refusal(503, "The hub has too many requests in hand: try again in a minute")
        self._left -= count

    def give_back(self, count: int) -> None:
        """Hold so many bytes less."""
        self._left += count


STRANGERS = Budget(64 * 2**20)
BEARERS = Budget(1024 * 2**20)


async def read(request: Request, kind: type[T], limit: int = SMALL, budget: Budget = BEARERS) -> T:
    """Read a request's body as a JSON document of a kind.

    Args:
        request: whose bearer was let in.
        kind: a Struct of `requests.py`.
        limit: bytes that it has at most.
        budget: that it is held from.

    Raises:
        Refusal: it is none (400), too long (413), too slow (408), of another type (415), or there
            is no place for it now (503).
    """
    check_type(request)
    return await read_as(request, lambda body: parse(kind, body), limit, budget)


async def read_as(
    request: Request, parsed: Callable[[bytearray], T], limit: int, budget: Budget = BEARERS
) -> T:
    """Read a request's body with a function, as `read` does with a kind."""
    body, held = bytearray(), 0
    try:
        async for chunk in chunks(request, limit):
            # What is small has its place always, so that nobody can fill it for all others.
            if len(body) + len(chunk) > SMALL:
                budget.take(len(chunk))
                held += len(chunk)
            body += chunk
        if len(body) > _AWAY:
            return await asyncio.to_thread(parsed, body)
        return parsed(body)
    finally:
        budget.give_back(held)


async def lines(request: Request) -> AsyncGenerator[list[bytes], None]:
    """The lines of a request's body as they come, without those that are blank.

    Close it (`aclosing`): what it holds is given back then.

    Raises:
        Refusal: as `read`; also for too many lines.
    """
    check_type(request)
    begun, count, held = bytearray(), 0, 0
    try:
        async for chunk in chunks(request, MOST_LINES):
            *ended, rest = chunk.split(b"\n")
            if ended:
                BEARERS.give_back(held)
                held = 0
                ended[0], begun = bytes(begun + ended[0]), bytearray()
                found = [line for line in ended if line.strip()]
                few(count := count + len(found), "The commit")
                yield found
            if len(begun) + len(rest) > MOST_LINE:
                raise Refusal(413, f"A line of the commit has more than {MOST_LINE} bytes")
            # What is small has its place always, as in `read_as`.
            if len(begun) + len(rest) > SMALL:
                BEARERS.take(len(rest))
                held += len(rest)
            begun += rest
    finally:
        BEARERS.give_back(held)
    if begun.strip():
        few(count + 1, "The commit")
        yield [bytes(begun)]


async def drain(request: Request, limit: int) -> None:
    """Receive a body that nobody needs."""
    async for _ in chunks(request, limit):
        pass


async def chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """A body as it comes; a Refusal if it is too long, or too slow."""
    told = whole(request.headers.get("Content-Length", "")) or 0
    if told > limit:
        raise Refusal(413, f"The request's body has {told} bytes, and may have {limit}")
    began, received, more = time.monotonic(), 0, True
    while more:
        left = began + SILENCE + received / SLOWEST - time.monotonic()
        try:
            message = await asyncio.wait_for(request.receive(), min(SILENCE, left))
        except asyncio.TimeoutError:
            raise Refusal(408, "The request's body came too slowly") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > limit:
            raise Refusal(413, f"The request's body has more than {limit} bytes")
        if chunk:
            yield chunk


def is_form(request: Request) -> bool:
    """Whether a request's body is a form."""
    return _type(request) == _FORM


def check_type(request: Request) -> None:
    """Refuse a body that says of itself that it is no JSON.

    Pages of other sites can send forms and plain text without asking; JSON they cannot.
    """
    kind = _type(request)
    if kind and kind not in _JSON:
        raise Refusal(415, f"Content-Type must be application/json, not {kind[:80]!r}")


def _type(request: Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
