"""What requests of both APIs say, typed: a Struct a request, read strictly, unknown fields let be.

Strangers write these bodies. So whatever is no value of the right type becomes a Refusal (400, or
413 for too many entries) that names the field, and nothing else comes out of this module.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from registry.hub.errors import Refusal
from registry.names import one_line

MOST_ENTRIES = 50_000  # files, objects, paths or operations of one request
MOST_FILE = 2**43  # bytes of one file, 8 TiB; S3 takes 5 TiB, Hugging Face 500 GB
_WHOLE = re.compile(r"[0-9]{1,19}")  # what isdigit() calls digits is more: '²' is one
_DEEPEST = 100  # folders in each other; each of them is an entry of listings

T = TypeVar("T")
Size = Annotated[int, Meta(ge=0, le=MOST_FILE)]


class Create(Struct):
    """POST /api/repos/create."""

    name: str
    organization: str | None = None
    type: str | None = None
    private: bool | None = None
    visibility: str | None = None


class Delete(Struct):
    """DELETE /api/repos/delete."""

    name: str
    organization: str | None = None


class Settings(Struct, forbid_unknown_fields=True):
    """PUT …/settings; what is not there is UNSET, and is not to be changed.

    A setting that this hub does not have is refused: who sets it relies on it.
    """

    private: bool | UnsetType = UNSET
    visibility: Literal["private", "public"] | UnsetType = UNSET
    gated: Literal["auto", "manual", False] | UnsetType = UNSET


class Tag(Struct):
    """POST …/tag/REVISION."""

    tag: str


class Branch(Struct, rename="camel"):
    """POST …/branch/BRANCH."""

    starting_point: str | None = None


class Asked(Struct):
    """A file that a client is about to send."""

    path: str
    size: Size = 0


class Preupload(Struct):
    """POST …/preupload/REVISION."""

    files: list[Asked]


class Object(Struct):
    """A content, by its sha256."""

    oid: str
    size: Size


class Batch(Struct):
    """POST …/info/lfs/objects/batch, of both APIs."""

    objects: list[Object]


class Paths(Struct):
    """POST …/paths-info/REVISION."""

    paths: list[str]


class Header(Struct, rename="camel"):
    """The first line of a commit."""

    summary: str = ""
    parent_commit: str | None = None


class File(Struct):
    """A small file inside of a commit."""

    path: str
    content: str = ""
    encoding: str = "utf-8"


class LfsFile(Struct):
    """A large file of a commit, which was uploaded before it."""

    path: str
    oid: str
    size: Size


class Named(Struct):
    """A file or a folder."""

    path: str


class HeaderLine(Struct, tag_field="key", tag="header"):
    value: Header


class FileLine(Struct, tag_field="key", tag="file"):
    value: File


class LfsFileLine(Struct, tag_field="key", tag="lfsFile"):
    value: LfsFile


class DeletedFileLine(Struct, tag_field="key", tag="deletedFile"):
    value: Named


class DeletedFolderLine(Struct, tag_field="key", tag="deletedFolder"):
    value: Named


# POST …/commit/REVISION of Hugging Face's API holds one of these a line.
Line = HeaderLine | FileLine | LfsFileLine | DeletedFileLine | DeletedFolderLine


class Login(Struct):
    """POST /api/v1/login."""

    access_token: str = msgspec.field(name="AccessToken")


class CreateModel(Struct, rename="pascal"):
    """POST /api/v1/models."""

    path: str
    name: str
    visibility: int | None = None


class TagModel(Struct, rename="pascal"):
    """POST …/repo/tag."""

    tag_name: str
    ref: str | None = None


class Action(Struct):
    """An operation of a commit; its content is read when its turn comes, and then let go."""

    path: str
    action: str = ""
    type: str = ""
    sha256: str = ""
    size: Size = 0
    content: Raw = Raw(b'""')
    encoding: str = ""


class Actions(Struct):
    """POST …/commit/REVISION of ModelScope's API."""

    actions: list[Action]
    commit_message: str = ""


def private_of(asked: Settings) -> bool | None:
    """Whether a repository shall be private; None if that is not to be changed.

    Raises:
        Refusal: it shall be gated, or both private and public.
    """
    if asked.gated not in (UNSET, False):
        raise Refusal(
            400, "This hub has no gated repositories, and nothing was changed: make it private"
        )
    wanted = set() if asked.private is UNSET else {asked.private}
    if asked.visibility is not UNSET:
        wanted.add(asked.visibility == "private")
    if len(wanted) > 1:
        raise Refusal(400, "private and visibility contradict each other")
    return wanted.pop() if wanted else None


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
