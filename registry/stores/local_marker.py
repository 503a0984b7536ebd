"""The file that marks a folder as a registry, with the version of its layout."""

from __future__ import annotations

import json
from pathlib import Path

from registry.errors import IntegrityError
from registry.files import open_below

MARKER = "qreg-store.json"
LAYOUT = 1
_MARKER_SIZE = 4096  # bytes


def layout_of(root: Path) -> object:
    """The version of a registry's layout; raises IntegrityError if its marker is damaged."""
    try:
        with open_below(root, MARKER) as file:
            return json.loads(file.read(_MARKER_SIZE))["layout"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(
            f"{root / MARKER} is damaged",
            remedy=f'Write {{"layout": {LAYOUT}}} into it, if the folder is a registry.',
        ) from error


def registry_of(folder: Path) -> Path | None:
    """The root of the registry that a revision's folder lies in; None for any other folder."""
    parents = folder.absolute().parents
    root = parents[3] if len(parents) > 3 else None
    return root if root is not None and (root / MARKER).is_file() else None
