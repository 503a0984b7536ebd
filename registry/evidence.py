"""What was observed of an artifact: a file a digest in the data folder, a line each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from registry.artifact import Digest
from registry.config import Settings


def record_evidence(settings: Settings, digest: Digest, entry: Mapping[str, Any]) -> None:
    """Append what was observed; it counts for this digest alone.

    Args:
        settings: name the data folder.
        digest: of the artifact's payload.
        entry: with `kind` and `time`, JSON all through.
    """
    path = settings.data / "evidence" / f"{digest.hex}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
