"""Whether a server's drafts are accepted, from its metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from serving.probe import get_text

# Counters of vLLM 0.9 to 0.32 (`v1/spec_decode/metrics.py`), in Prometheus' text format; there is
# one line an engine.
_COUNTER = re.compile(
    r"^vllm:spec_decode_num_(?P<what>draft|accepted)_tokens(?:_total)?(?:\{[^}]*\})?\s+"
    r"(?P<value>[0-9.eE+]+)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Drafts:
    """Tokens that were drafted since the server started, and how many of them were accepted."""

    drafted: int
    accepted: int


def read_drafts(url: str) -> Drafts | None:
    """The counts of the server at `url`; None where it does not tell them."""
    try:
        text = get_text(f"{url}/metrics")
    except (OSError, ValueError):
        return None
    counts: dict[str, float] = {}
    for found in _COUNTER.finditer(text):
        counts[found["what"]] = counts.get(found["what"], 0) + float(found["value"])
    if "draft" not in counts or "accepted" not in counts:
        return None
    return Drafts(int(counts["draft"]), int(counts["accepted"]))
