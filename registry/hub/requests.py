"""What requests of both APIs say, typed: a Struct a request; unknown fields are let be."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from registry.hub.errors import Refusal

MOST_FILE = 2**43  # bytes of one file, 8 TiB; S3 takes 5 TiB, Hugging Face 500 GB

Size = Annotated[int, Meta(ge=0, le=MOST_FILE)]


class Create(Struct):
    """POST /api/repos/create."""

    name: str
    organization: str | None = None
    type: str | None = None
    private: bool | None = None
    visibility: Literal["private", "public"] | None = None


class Delete(Struct):
    """DELETE /api/repos/delete."""

    name: str
    organization: str | None = None
    type: str | None = None


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
    content: str
    encoding: Literal["base64", "utf-8"] = "utf-8"


class LfsFile(Struct):
    """A large file of a commit, which was uploaded before it."""

    path: str
    oid: str
    size: Size
    algo: Literal["sha256"] = "sha256"


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
    action: Literal["create", "update", "delete"]
    type: Literal["lfs", "normal", ""] = ""
    sha256: str = ""
    size: Size = 0
    content: Raw | UnsetType = UNSET
    encoding: Literal["base64", "utf-8", ""] = ""


class Actions(Struct):
    """POST …/commit/REVISION of ModelScope's API."""

    actions: list[Action]
    commit_message: str = ""


def is_private(asked: Create) -> bool:
    """Whether a new repository shall be private; it is, unless that is said otherwise.

    Raises:
        Refusal: it shall be both private and public.
    """
    if asked.private is None:
        return asked.visibility != "public"
    if asked.visibility is not None and asked.private is not (asked.visibility == "private"):
        raise Refusal(400, "private and visibility contradict each other")
    return asked.private


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
