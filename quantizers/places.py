"""Where source and sets of a quantization lie on this machine: kept here, never published.

DATA/places/SHA256.json, named by the digest of the artifact that was made. `qreg reproduce` looks
there, so that on the machine where something was made nothing has to be named again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.artifact import Digest
from registry.config import Settings
from registry.files import write_atomically


@dataclass(frozen=True)
class Places:
    """What lies where.

    Attributes:
        source: the float model, as its user named it, paths made absolute; empty if not known.
        sets: files and folders by what they were used for, `calibration` and `anti_dataset`.
    """

    source: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)


def remember(settings: Settings, digest: Digest, places: Places) -> None:
    """Write down where things are that an artifact was made from."""
    path = _path(settings, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"source": places.source, "sets": dict(places.sets)}
    write_atomically(path, json.dumps(content, ensure_ascii=False).encode())
    path.chmod(0o600)


def recall(settings: Settings, digest: Digest) -> Places:
    """What was written down on this machine; empty where it was made elsewhere."""
    try:
        value = json.loads(_path(settings, digest).read_bytes())
        sets = {str(key): str(path) for key, path in value["sets"].items()}
        return Places(str(value["source"]), sets)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Places()


def _path(settings: Settings, digest: Digest) -> Path:
    return settings.data / "places" / f"{digest.hex}.json"
