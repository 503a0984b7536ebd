"""Reading requests strictly, into the Structs of `requests`.

Strangers write these bodies. So whatever is no value of the right type becomes a Refusal (400, or
413 for too many entries) that names the field, and nothing else comes out of this module.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw

from registry.hub.errors import Refusal
from registry.hub.requests import Line, Paths
from registry.names import one_line

MOST_ENTRIES = 50_000  # files, objects, paths or operations of one request
_WHOLE = re.compile(r"[0-9]{1,19}")  # what isdigit() calls digits is more: '²' is one
_DEEPEST = 100  # folders in each other; each of them is an entry of listings

T = TypeVar("T")


def parse(kind: type[T], body: bytes | bytearray) -> T:
    """Read a JSON document; none at all stands for an empty object.

    Raises:
        Refusal: it is no `kind`.
    """
    found = _read(_decoder(kind), body or b"{}")
    for field in ("files", "objects", "paths", "actions"):
        few(len(getattr(found, field, ())), field)
    return found


def parse_line(line: bytes | bytearray) -> Line:
    """Read a line of a commit; raises Refusal."""
    return _read(_LINES, line)


def parse_text(raw: Raw, field: str) -> str:
    """Read a text that was left as it came; raises Refusal."""
    try:
        return _read(_TEXTS, bytes(raw))
    except Refusal as refusal:
        raise Refusal(400, refusal.message.replace("The body", field)) from None


def parse_paths(body: bytes | bytearray, *, form: bool) -> Paths:
    """Read which paths are asked for: as JSON, or as the form that huggingface_hub sends."""
    # Counted before they are made: a million short strings take a hundred times their text.
    few(body.count(b"&") if form else body.count(b'"') // 2, "paths")
    if not form:
        return parse(Paths, body)
    try:
        fields = parse_qs(bytes(body).decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refusal(400, "The request's body is no form of texts in UTF-8") from None
    return Paths(fields.get("paths", []))


def few(count: int, what: str) -> None:
    """Refuse more entries of a request than any client sends at once."""
    if count > MOST_ENTRIES:
        raise Refusal(413, f"{what} has more than {MOST_ENTRIES} entries: send them in batches")


def content_of(path: str, content: str, encoding: str) -> bytes:
    """The small content that an operation of a commit holds."""
    if encoding != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, f"The content of {path[:200]} is no base64") from None


def check_depth(path: str) -> str:
    """Return a path that lies in no more folders than listings can tell."""
    if path.count("/") > _DEEPEST:
        raise Refusal(400, f"path must lie in at most {_DEEPEST} folders: {path[:80]}…")
    return path


def whole(text: str, most: int = 2**63 - 1) -> int | None:
    """A non-negative decimal number, in ASCII and at most `most`; None for anything else."""
    if _WHOLE.fullmatch(text) is None:
        return None
    number = int(text)
    return number if number <= most else None


def whole_of(name: str, text: str | None) -> int | None:
    """The number that a query may hold; None without one, a Refusal for anything else."""
    if not text:
        return None
    number = whole(text)
    if number is None:
        raise Refusal(400, f"{name} must be a whole number, not {one_line(text)[:40]!r}")
    return number


_LINES: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_TEXTS = msgspec.json.Decoder(str)


_BY_KIND: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    if kind not in _BY_KIND:
        _BY_KIND[kind] = msgspec.json.Decoder(kind)
    return _BY_KIND[kind]


def _read(decoder: msgspec.json.Decoder[T], body: bytes | bytearray) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(400, _sentence(str(error))) from None
    except UnicodeDecodeError:
        raise Refusal(400, "A text in the request's body is no UTF-8") from None
    except RecursionError:
        raise Refusal(400, "The request's body is nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise Refusal(400, f"The request's body is no JSON: {one_line(str(error))}") from None


# msgspec's words (0.18 to 0.22) for what it expected, and ours.
_KINDS = {
    "str": "a text", "int": "a whole number", "bool": "true or false", "float": "a number",
    "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip
_EXPECTED = re.compile(r"Expected `([^`]+)`(.*?)(?:, got `([^`]+)`)?(?: - at `\$\.?(.*)`)?")
_MISSING = re.compile(r"Object missing required field `([^`]+)`(?: - at `\$\.?(.*)`)?")
_OTHER = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)


def _sentence(told: str) -> str:
    """What msgspec found wrong, as a sentence that begins with the field."""
    if match := _MISSING.fullmatch(told):
        field, inside = match.groups()
        return f"The request lacks {f'{inside}.' if inside else ''}{field}"
    if match := _EXPECTED.fullmatch(told):
        kinds, rest, got, field = match.groups()
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | ")) + rest
        return f"{field or 'The body'} must be {wanted}" + (
            f", not {_KINDS.get(got, got)}" if got else ""
        )
    match = _OTHER.fullmatch(told)
    assert match is not None  # it matches everything
    problem, field = match.groups()
    return f"{field or 'The body'}: {one_line(problem)[:200]}"
