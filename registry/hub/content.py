"""Files out of the hub by ranges, and into it, hashed on their way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from io import FileIO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from registry.artifact import is_sha256
from registry.errors import NotFoundError
from registry.hub.backends import Contents
from registry.hub.commits import Blob
from registry.hub.direct import receive_body, send_file
from registry.hub.errors import Refusal
from registry.hub.sinks import Sink
from registry.transport import Stream

_OUT = 2**20  # bytes that are read and sent at once
_RANGE = re.compile(r"bytes=([0-9]{0,100})-([0-9]{0,100})\Z")


def deliver(
    request: Request, contents: Contents, name: str, blob: Blob, headers: Mapping[str, str]
) -> Response:
    """The answer that holds a file, or the range of it that is asked for.

    Args:
        request: may name a range, and what the client has already.
        contents: holds the file.
        name: ORG/NAME of its repository.
        blob: it.
        headers: of the answer, besides those of every file.
    """
    etag = f'"{blob.etag}"'
    base = {
        **headers,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    if etag in [tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")]:
        return Response(status_code=304, headers=base)
    begin, end, status = 0, blob.size, 200
    wanted = request.headers.get("Range", "")
    if wanted and request.headers.get("If-Range", etag) == etag:
        span = _span(wanted, blob.size)
        if span is None:
            return Response(
                status_code=416, headers={**base, "Content-Range": f"bytes */{blob.size}"}
            )
        if span != (0, 0):
            begin, end = span
            status = 206
            base["Content-Range"] = f"bytes {begin}-{end - 1}/{blob.size}"
    base["Content-Length"] = str(end - begin)
    if request.method == "HEAD" or begin == end:
        return Response(status_code=status, headers=base)
    opened = ExitStack()
    try:
        stream = opened.enter_context(contents.stream(name, blob.sha256, begin, end - begin))
    except NotFoundError as error:
        raise Refusal(500, "The content of this file is missing in the registry") from error
    return _Delivery(stream, opened, end - begin, status, base)


def _span(text: str, size: int) -> tuple[int, int] | None:
    """A range in bytes; (0, 0) for one that is not understood, None for one outside the file."""
    match = _RANGE.match(text)
    if match is None or match.groups() == ("", ""):
        return 0, 0
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    begin, end = int(first), min(int(last) + 1 if last else size, size)
    return (begin, end) if begin < end else None


class _Delivery(StreamingResponse):
    """An answer whose body is a stream: sent by the kernel where it is a file."""

    def __init__(
        self,
        stream: Stream,
        opened: ExitStack,
        length: int,
        status: int,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(_pieces(stream, length), status, headers)
        self._stream, self._opened, self._length = stream, opened, length
        self._scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        try:
            await super().__call__(scope, receive, send)
        finally:  # a thread may still wait for the stream, and closing waits for that
            await asyncio.shield(asyncio.to_thread(self._opened.close))

    async def stream_response(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        file = self._stream if isinstance(self._stream, FileIO) and self._length > _OUT else None
        if not (file and await send_file(self._scope, file, self._length)):
            async for piece in self.body_iterator:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _pieces(stream: Stream, length: int) -> AsyncIterator[memoryview]:
    while length:
        buffer = memoryview(bytearray(min(_OUT, length)))
        count = await asyncio.to_thread(stream.readinto, buffer)
        if not count:
            return
        yield buffer[:count]
        length -= count


async def receive_whole(
    request: Request, contents: Contents, name: str, sha256: str, size: int
) -> None:
    """Receive a content in one request.

    Raises:
        Refusal: it is not what it should be; nothing of it is kept.
    """
    sink = await asyncio.to_thread(contents.sink, name, check_sha256(sha256), size)
    try:
        await _receive(request, sink)
        if sink.received != size or sink.sha256 != sha256:
            raise Refusal(400, f"The content is not that of {sha256}, or it was cut")
        await asyncio.to_thread(sink.keep)
    finally:
        await asyncio.shield(asyncio.to_thread(sink.close))


async def receive_part(
    request: Request, contents: Contents, name: str, sha256: str, offset: int, length: int
) -> str:
    """Receive a part of a content at its place; returns its ETag."""
    sink = await asyncio.to_thread(contents.part, name, check_sha256(sha256), offset, length)
    try:
        await _receive(request, sink)
        if sink.received != length:
            raise Refusal(400, f"The part was cut: {sink.received} of {length} bytes")
        await asyncio.to_thread(sink.keep)
    finally:
        await asyncio.shield(asyncio.to_thread(sink.close))
    return f'"{sink.sha256}"'


def finish_parts(contents: Contents, name: str, sha256: str, size: int) -> None:
    """Check a content whose parts have all arrived, and keep it.

    Raises:
        Refusal: it is not what it should be; nothing of it is kept.
    """
    try:
        found = contents.join(name, check_sha256(sha256), size)
    except NotFoundError as error:
        raise Refusal(400, error.message) from error
    if found != sha256:
        raise Refusal(400, f"The parts together are not the content {sha256}")


def check_sha256(text: str) -> str:
    """Return `text` if it is a sha256; it becomes a file's name."""
    if not is_sha256(text):
        raise Refusal(400, f"{text[:80]!r} is no sha256")
    return text


async def _receive(request: Request, sink: Sink) -> None:
    try:
        await receive_body(request, sink)
    except ValueError as error:
        raise Refusal(
            400, f"The content is longer than the {sink.limit} bytes announced"
        ) from error
    except ClientDisconnect as error:
        raise Refusal(400, "The connection ended before the content did") from error
    except OSError as error:  # of the disk; what networks do is a ClientDisconnect
        raise Refusal(507, f"The hub's disk takes no more: {error.strerror}") from error
