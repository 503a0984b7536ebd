"""Files out of the hub by ranges, and into it, hashed on their way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from registry.hub.commits import Blob
from registry.hub.direct import Sink, receive_body
from registry.hub.errors import Refusal
from registry.stores.blobs import Blobs

_OUT = 2**20  # bytes that are read and sent at once
_IN = 4 * 2**20  # bytes that are read and hashed at once
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def deliver(request: Request, blobs: Blobs, blob: Blob, headers: Mapping[str, str]) -> Response:
    """The answer that holds a file, or the range of it that is asked for."""
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
    try:
        file = blobs.path(blob.sha256).open("rb", buffering=0)
    except FileNotFoundError as error:
        raise Refusal(500, "The content of this file is missing in the registry") from error
    return StreamingResponse(_pieces(file, begin, end), status_code=status, headers=base)


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


async def _pieces(file: IO[bytes], begin: int, end: int) -> AsyncIterator[bytes]:
    with file:
        handle = file.fileno()
        os.posix_fadvise(handle, begin, end - begin, os.POSIX_FADV_SEQUENTIAL)
        while begin < end:
            piece = await asyncio.to_thread(os.pread, handle, min(_OUT, end - begin), begin)
            if not piece:
                return
            yield piece
            begin += len(piece)


async def receive_whole(request: Request, blobs: Blobs, sha256: str, size: int) -> None:
    """Receive a content in one request.

    Raises:
        Refusal: it is not what it should be; nothing of it is kept.
    """
    check_sha256(sha256)
    part = blobs.incoming()
    try:
        with part.open("wb") as file:
            found, received = await _receive(request, file.fileno(), 0, size)
        if received != size or found != sha256:
            raise Refusal(400, f"The content is not that of {sha256}, or it was cut")
        blobs.put(sha256, part)
    finally:
        part.unlink(missing_ok=True)


async def receive_part(request: Request, part: Path, offset: int, length: int) -> str:
    """Receive a part of a content at its place; returns its ETag."""
    part.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        found, received = await _receive(request, handle, offset, length)
    finally:
        os.close(handle)
    if received != length:
        raise Refusal(400, f"The part was cut: {received} of {length} bytes")
    return f'"{found}"'


def finish_parts(blobs: Blobs, part: Path, sha256: str, size: int) -> None:
    """Check a content whose parts have all arrived, and keep it.

    Raises:
        Refusal: it is not what it should be; nothing of it is kept.
    """
    check_sha256(sha256)
    if blobs.has(sha256, size):
        return
    if not part.is_file():
        raise Refusal(400, "No part of this upload has arrived")
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while piece := file.read(_IN):
            digest.update(piece)
    if part.stat().st_size != size or digest.hexdigest() != sha256:
        part.unlink(missing_ok=True)
        raise Refusal(400, f"The parts together are not the content {sha256}")
    blobs.put(sha256, part)


def check_sha256(text: str) -> str:
    """Return `text` if it is a sha256; it becomes a file's name."""
    if not _SHA256.match(text):
        raise Refusal(400, f"{text[:80]!r} is no sha256")
    return text


async def _receive(request: Request, handle: int, offset: int, limit: int) -> tuple[str, int]:
    """Write a body into a file as it comes, durably; its sha256 and length."""
    sink = Sink(handle, offset, limit)
    try:
        await receive_body(request, sink)
    except ValueError as error:
        raise Refusal(400, f"The content is longer than the {limit} bytes announced") from error
    except ClientDisconnect as error:
        raise Refusal(400, "The connection ended before the content did") from error
    except OSError as error:  # of the disk; what networks do is a ClientDisconnect
        raise Refusal(507, f"The hub's disk takes no more: {error.strerror}") from error
    return sink.sha256, sink.received
