"""Which names and paths qreg lets in. No name from outside reaches a file system unchecked."""

from __future__ import annotations

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


def check_tag(tag: str) -> str:
    """Return `tag` if it can name a revision.

    Raises:
        UsageError: spaces, slashes, Unicode, or more than 128 characters.
    """
    if not _TAG.match(tag) or ".." in tag:
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
    """Text from outside, fit for terminals and files: control characters and halves of characters
    become U+FFFD, lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        "\ufffd" if category(char) in _UNPRINTABLE and char not in "\n\t" else char for char in text
    )


def one_line(text: str) -> str:
    """Text from outside, fit for one line."""
    return printable(text).replace("\n", " ").replace("\t", " ")


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
