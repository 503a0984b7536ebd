"""Which files are part of an artifact, and which of them its digest covers."""

from __future__ import annotations

import re
from collections.abc import Collection

from registry.errors import IntegrityError

MANIFEST_FILE = "qreg.json"

# Files that no loader reads. They may differ from hub to hub without changing the weights' digest:
# the card and the signature, which come along with an artifact, and our manifest and what hubs and
# their clients leave behind, which do not.
_COMPANIONS = frozenset({"README.md", "model.sig"})
_NOT_PAYLOAD_FILES = _COMPANIONS | frozenset(
    {
        MANIFEST_FILE,
        ".gitattributes",
        ".gitignore",
        "configuration.json",
        ".ms_upload_cache",
        ".msc",
        ".mdl",
        ".mv",
        ".DS_Store",
    }
)
_GENERATED_FOLDERS = frozenset({"__pycache__"})
# Git takes a file of this name for a pointer to a repository's settings, which name commands. The
# second form is the first one's name on old Windows file systems, with any number.
_GIT = re.compile(r"\.git|git~[0-9]+", re.IGNORECASE)
# Beside a file HEAD, these make git take a folder for a repository, whatever that is called.
_REPOSITORY = ("objects", "refs")


def in_hidden_folder(path: str) -> bool:
    """Whether a file lies in a hidden or generated folder, at any depth: `.git`, `__pycache__`, ….

    Programs act on what such folders hold (git runs commands that `.git/config` names), and no
    loader reads them. So they are no part of an artifact, wherever they come from; nor is a file
    `.git`, which stands for such a folder.
    """
    *folders, name = path.split("/")
    return _GIT.fullmatch(name) is not None or any(
        folder.startswith(".") or folder.lower() in _GENERATED_FOLDERS or _GIT.fullmatch(folder)
        for folder in folders
    )


def require_no_repository(paths: Collection[str]) -> None:
    """Refuse files of which git would take a folder for a repository, and run what it names.

    Raises:
        IntegrityError: one does.
    """
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name.lower() == "head":
            below = f"{folder}/" if folder else ""
            lower = below.lower()
            if all(
                any(p.lower().startswith(f"{lower}{part}/") for p in paths) for part in _REPOSITORY
            ):
                raise IntegrityError(
                    f"{folder or 'The folder itself'} is a repository of git, whose settings can "
                    "name commands",
                    remedy="Leave HEAD, objects and refs out; they are no part of a model.",
                )


def is_payload(path: str) -> bool:
    """Whether loading the artifact reads this file, so that it counts for the digest."""
    return path.rpartition("/")[2] not in _NOT_PAYLOAD_FILES and not in_hidden_folder(path)


def is_kept(path: str) -> bool:
    """Whether a file moves with an artifact: its payload, its card and its signature.

    What the digest does not cover and is neither of these never lands in a folder.
    """
    return path in _COMPANIONS or is_payload(path)
