"""Which names and paths qreg lets in. No name from outside reaches a file system unchecked."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from unicodedata import category

from registry.errors import IntegrityError, UsageError

_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?\Z")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
# What hubs or git read otherwise: commits, branches, and tags by which qreg finds digests there.
_TAKEN = re.compile(r"sha256-.*|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|HEAD|main|master|.*\.lock|.*\.")
_UNPRINTABLE = ("Cc", "Cs", "Cf")  # control, surrogates, and what turns the direction of writing
_FORBIDDEN = ("..", "--")
_DEEPEST = 64  # folders and the file; real artifacts have one or two
# Categories Cc, Cs, Cf, Zl and Zp of Unicode 15, but for what `printable` says that it keeps.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f]"
)


def check_name(name: str) -> str:
    """Return `name` if it is a valid `ORG/NAME`, the intersection of what the hubs accept.

    Raises:
        UsageError: anything else: missing organisation, spaces, Unicode, `..`, `--`.
    """
    if not is_name(name):
        raise UsageError(
            f"{name!r} is not a valid artifact name",
            remedy="Use ORG/NAME with ASCII letters, digits, '.', '_' and '-'; each part starts "
            "and ends with a letter or digit, has at most 96 characters and no '..' or '--'; "
            "no '.git' at the end (the rule that ModelScope and Hugging Face share).",
        )
    return name


def is_name(text: str) -> bool:
    """Whether a text is a valid `ORG/NAME`."""
    parts = text.split("/")
    good = len(parts) == 2 and all(_PART.match(part) for part in parts)
    return good and not any(bad in text for bad in _FORBIDDEN) and not text.endswith(".git")


def is_tag(text: str) -> bool:
    """Whether a text can name a revision."""
    return bool(_TAG.match(text)) and ".." not in text


def check_tag(tag: str) -> str:
    """Return `tag` if it can name a revision.

    Raises:
        UsageError: spaces, slashes, Unicode, or more than 128 characters.
    """
    if not is_tag(tag):
        raise UsageError(
            f"{tag!r} is not a valid tag",
            remedy="Use up to 128 ASCII letters, digits, '.', '_' and '-'.",
        )
    return tag


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags if all of them can name a revision; raises UsageError as `check_tag`."""
    return tuple(check_tag(tag) for tag in tags)


def check_new_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags that a user gives to a revision, each once.

    Raises:
        UsageError: as `check_tag`, or a hub would read one as something else than this tag.
    """
    found = tuple(dict.fromkeys(check_tags(tags)))
    for tag in found:
        if _TAKEN.fullmatch(tag):
            raise UsageError(
                f"{tag!r} cannot be given as a tag: it names something else on hubs",
                remedy="Use a name such as v1. Not sha256-…, 40 or 64 hexadecimal digits, HEAD, "
                "main or master, nor one that ends in '.lock' or '.'.",
            )
    return found


def check_alias(alias: str) -> str:
    """Return `alias` if MLflow takes it for a model version; raises UsageError."""
    if not re.match(r"[A-Za-z0-9_-]{1,255}\Z", alias) or re.match(r"(latest|v\d+)\Z", alias):
        raise UsageError(
            f"{alias!r} is not a valid alias",
            remedy="Use ASCII letters, digits, '_' and '-'; MLflow keeps 'latest' and 'v1', 'v2', "
            "… for itself.",
        )
    return alias


def check_location(url: str, location: str) -> str:
    """Return `location`, the BUCKET/PREFIX of an S3 URL, without a slash at its end.

    Servers take empty parts, '.' and '..' literally or not at all, and '?' and '#' are cut off or
    not, each client in its own way.

    Raises:
        UsageError: one of these is in it.
    """
    location = location.removesuffix("/")
    if "@" in location.partition("/")[0]:
        raise UsageError(
            "An s3:// URL holds a user or a password",
            remedy="Write s3://BUCKET/PREFIX; keys are set with AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or a profile.",
        )
    if any(part in ("", ".", "..") for part in location.split("/")):
        problem = "a part that is empty, '.' or '..'"
    elif mark := next((mark for mark in "?#" if mark in location), ""):
        problem = f"a '{mark}'"
    else:
        return location
    raise UsageError(
        f"{url!r} has {problem} in its path", remedy="Write s3://BUCKET/PREFIX with plain names."
    )


def printable(text: str) -> str:
    """Text from outside, fit for terminals, pages and files: what could act is shown escaped.

    Control characters (C0, C1, DEL), halves of characters, what turns the direction of writing or
    has no width, and U+2028 and U+2029 become `\\x1b`, `\\u202e`, `\\U000e0041`. They would move
    the cursor, write to the clipboard or let a name look like another. Line ends and tabs stay; so
    do U+200C and U+200D, by which Persian, Indic scripts and emoji are written, and the few of
    Unicode's format characters that have a shape. A backslash stays as it is: what is escaped
    once stays the same when it is escaped again.
    """
    if text.isprintable():
        return text
    return _ACTING.sub(_escaped, text)


def one_line(text: str) -> str:
    """Text from outside, fit for one line: as `printable`, and line ends and tabs become spaces."""
    return printable(text).replace("\n", " ").replace("\t", " ")


def has_control(text: str) -> bool:
    """Whether a text has control characters, line ends among them: no name has."""
    return any(category(char) == "Cc" for char in text)


def printable_json(text: str) -> str:
    """The same for the text of a JSON document, as JSON's own escapes: its values do not change."""
    return _ACTING.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 2**8:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"


def folders_above(path: str) -> Iterator[str]:
    """`a` and `a/b` of the POSIX path `a/b/c`."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth])


def below_a_file(paths: Iterable[str], files: Collection[str]) -> str | None:
    """The first path that needs a folder where a file is; None if a folder can hold all of them."""
    return next((p for p in paths if any(above in files for above in folders_above(p))), None)


def check_path(path: str) -> str:
    """Return `path` if it is a safe POSIX path below an artifact's folder.

    Raises:
        IntegrityError: absolute, with `.`, `..` or empty parts, a backslash, a control character,
            or longer than a file system takes.
    """
    parts = path.split("/")
    bad = (
        not path
        or len(path) > 1024
        or len(parts) > _DEEPEST
        or any(part in ("", ".", "..") for part in parts)
        or any(len(part.encode(errors="replace")) > 255 for part in parts)
        or "\\" in path
        or any(category(char) in _UNPRINTABLE for char in path)
    )
    if bad:
        raise IntegrityError(
            f"The file name {path[:200]!r} is not a safe relative path",
            remedy="Do not use this artifact: a name like this can write outside its folder.",
        )
    return path
