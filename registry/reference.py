"""References: how a user names an artifact.

    [SCHEME://]ORG/NAME[@REVISION]     REVISION is a tag, or a digest `sha256:…` that pins it

Schemes: `file` (a registry folder, or an artifact's folder), `hf`, `ms`, `s3`, and MLflow's own
`models:/NAME/VERSION` or `models:/NAME@ALIAS`. Without a scheme an existing folder is that folder,
anything else is looked up in the default registry. An unknown scheme is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from registry.artifact import Digest
from registry.errors import UsageError
from registry.names import check_location, check_name, check_tag

SCHEMES = ("file", "hf", "ms", "s3", "models")


@dataclass(frozen=True)
class Reference:
    """A parsed reference.

    Attributes:
        scheme: one of SCHEMES, or "" for the default registry.
        location: ORG/NAME; for `file` an absolute path; for `models` what follows `models:/`,
            without the alias.
        revision: a tag (for `models` an alias), or None for the newest.
        digest: the pinned digest, or None.
    """

    scheme: str
    location: str
    revision: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference.

        Raises:
            UsageError: an unknown scheme, an invalid name, tag or digest.
        """
        if not text or text != text.strip():
            raise UsageError(f"{text!r} is not a reference", remedy="Write ORG/NAME or a folder.")
        if text.startswith("models:/"):
            return cls._split("models", text.removeprefix("models:/").lstrip("/"))
        if "://" in text:
            scheme, rest = text.split("://", 1)
            if scheme not in SCHEMES:
                known = ", ".join(f"{name}://" for name in SCHEMES[:-1])
                raise UsageError(
                    f"Unknown scheme '{scheme}://' in {text!r}",
                    remedy=f"Known are {known} and models:/ .",
                )
            return cls._split(scheme, rest)
        if looks_like_folder(text):
            return cls("file", str(_expanded(text).absolute()))
        return cls._split("", text)

    @classmethod
    def _split(cls, scheme: str, rest: str) -> Reference:
        location, at, suffix = rest.rpartition("@")
        if not at or "/" in suffix:
            location, suffix = rest, ""
        digest = Digest.parse(suffix) if suffix.startswith("sha256:") else None
        revision = check_tag(suffix) if suffix and digest is None else None
        if at and location != rest and not suffix:
            raise UsageError(
                f"{rest!r} ends in '@' without a revision",
                remedy="Write a tag or sha256:… after it, or leave the '@' out.",
            )
        if scheme == "file":
            if not location.startswith("/"):
                raise UsageError(
                    f"'file://{location}' is not an absolute path",
                    remedy="Write file:///path/to/registry/ORG/NAME .",
                )
            location = str(Path(location))
        elif scheme == "s3":
            if location:
                location = check_location(f"s3://{location}", location)
            bucket, _, name = location.partition("/")
            if name.count("/") < 1 or not bucket:
                raise UsageError(
                    f"'s3://{location}' names no artifact in a bucket",
                    remedy="Write s3://BUCKET/ORG/NAME or s3://BUCKET/PREFIX/ORG/NAME .",
                )
            check_name("/".join(location.split("/")[-2:]))
        elif scheme in ("hf", "ms"):
            if not location:
                raise UsageError(
                    f"'{scheme}://' names nothing", remedy=f"Write {scheme}://ORG/NAME ."
                )
            check_name(location)
        elif not scheme:
            _check_bare(location)
        elif not location:
            raise UsageError(
                f"'{scheme}:/' names nothing",
                remedy="Write models:/NAME@ALIAS or models:/NAME/VERSION .",
            )
        return cls(scheme, location, revision, digest)

    def __str__(self) -> str:
        suffix = f"@{self.digest or self.revision}" if self.digest or self.revision else ""
        prefix = {"": "", "models": "models:/"}.get(self.scheme, f"{self.scheme}://")
        return f"{prefix}{self.location}{suffix}"


def looks_like_folder(text: str) -> bool:
    """Whether `text` means a path: it is written like one, or something of that name exists."""
    return text.startswith(("/", "./", "../", "~")) or text in (".", "..") or _exists(text)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or a NUL
        return False


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{text!r} begins with '~', but there is no such user",
            remedy="Write ./~… for a folder of that name.",
        ) from error


def _check_bare(name: str) -> None:
    try:
        check_name(name)
    except UsageError as error:
        raise UsageError(
            f"{name!r} is neither a file or folder here nor a valid artifact name",
            remedy=error.remedy,
        ) from error
