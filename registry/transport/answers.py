"""Answers about metadata, read to a limit: what a server sends must not take all memory.

A few MB of gzip unpack to gigabytes, and JSON of a few MB can become as much in Python's objects.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from registry.errors import TransferError
from registry.transport.signs import note_part

if TYPE_CHECKING:
    import requests

MAX_ANSWER = 64 * 2**20  # bytes, unpacked; a listing of 200,000 files
MAX_VALUES = 5_000_000  # in one document of JSON; each takes 64 bytes and more
MAX_ENTRIES = 1_000_000  # files of one listing
_PIECE = 2**16
_BEGINNING = 2**16  # bytes of an error that are read
_CHECK = "Check the endpoint: no server that keeps models answers like this."


def read_answer(response: requests.Response, limit: int = MAX_ANSWER) -> bytes:
    """The body of an answer that was asked for with `stream=True`, unpacked.

    Raises:
        TransferError: it is larger than `limit` bytes, or packed in a way that was not asked for.
        requests.ConnectionError: it ended early, or is damaged.
    """
    import requests
    import urllib3.exceptions

    decoder = _decoder(response.headers.get("Content-Encoding", ""))
    content = bytearray()
    try:
        while piece := response.raw.read1(_PIECE, decode_content=False):
            note_part()
            _add(content, piece, decoder, limit)
            if len(content) > limit:
                raise TransferError(
                    f"The answer about metadata is larger than {limit // 2**20} MiB", remedy=_CHECK
                )
        if decoder is not None and content and not decoder.eof:
            raise requests.exceptions.ConnectionError("The packed answer ended early")
    except (urllib3.exceptions.HTTPError, zlib.error) as error:
        raise requests.exceptions.ConnectionError(error) from error
    return bytes(content)


def read_beginning(response: requests.Response) -> bytes:
    """What an error or a redirect says, up to some KiB; of a short one the connection is kept."""
    import urllib3.exceptions

    content = bytearray()
    try:
        decoder = _decoder(response.headers.get("Content-Encoding", ""))
        while piece := response.raw.read1(_PIECE, decode_content=False):
            _add(content, piece, decoder, _BEGINNING)
            if len(content) >= _BEGINNING:
                response.raw.close()
                break
    except (urllib3.exceptions.HTTPError, OSError, zlib.error, TransferError):
        response.raw.close()
    return bytes(content[:_BEGINNING])


def parse_json(content: bytes) -> Any:
    """A document of a server.

    Raises:
        ValueError: it is none, or is nested as no answer is.
        TransferError: it holds more values than memory should be given to.
    """
    if sum(map(content.count, (b"{", b"[", b","))) > MAX_VALUES:
        raise TransferError(f"The answer holds more than {MAX_VALUES:,} values", remedy=_CHECK)
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def require_few(what: str, count: int) -> None:
    """Raise TransferError where a listing has more entries than one can have."""
    if count > MAX_ENTRIES:
        raise TransferError(f"The listing of {what} has more than {MAX_ENTRIES:,} entries")


def _decoder(encoding: str) -> Any:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(wbits=31)
    raise TransferError(
        "The answer is packed in a way that was not asked for",
        remedy="A proxy may change requests; try without it.",
    )


def _add(content: bytearray, piece: bytes, decoder: Any, limit: int) -> None:
    """Add what a piece unpacks to, up to one byte more than the limit."""
    if decoder is None:
        content += piece
        return
    while piece and len(content) <= limit and not decoder.eof:
        content += decoder.decompress(piece, limit + 1 - len(content))
        piece = decoder.unconsumed_tail
