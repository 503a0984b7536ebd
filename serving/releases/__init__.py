"""Tables of vLLM Ascend's releases: what each knows, reads and needs."""

from __future__ import annotations

import json
import re
from functools import lru_cache

from registry.errors import NotFoundError
from registry.finding import WARNING, Finding
from serving.releases.pairing import pairing_faults
from serving.releases.release import DATA, Key, Option, Pair, Parsers, Release, Variable

__all__ = [
    "Key",
    "Option",
    "Pair",
    "Parsers",
    "Release",
    "Variable",
    "known",
    "latest",
    "nearest_release",
    "open_release",
    "pairing_faults",
]


@lru_cache(maxsize=1)
def known() -> tuple[str, ...]:
    """The releases that there are tables of, oldest first."""
    return tuple(sorted((path.stem for path in DATA.glob("*.json")), key=_order))


def latest() -> Release:
    """The newest release that there is a table of."""
    return open_release(known()[-1])


@lru_cache(maxsize=8)
def open_release(version: str) -> Release:
    """The table of a release.

    Args:
        version: of vllm-ascend: `0.23.0`, `v0.23.0` or a post-release of it.

    Raises:
        NotFoundError: there is no table of it.
    """
    number = _number(version)
    path = DATA / f"{number}.json"
    if number not in known():
        raise NotFoundError(
            f"There is no table of vLLM Ascend {version}",
            remedy=f"Tables are there of {', '.join(known())}; name one with --release .",
        )
    return Release(number, json.loads(path.read_text(encoding="utf-8")))


def nearest_release(version: str) -> tuple[Release, tuple[Finding, ...]]:
    """The release of a version, or the newest one before it, or the oldest; the latter are said."""
    number = _number(version)
    if number in known():
        return open_release(number), ()
    older = [name for name in known() if _order(name) <= _order(number)]
    chosen = open_release(older[-1] if older else known()[0])
    return chosen, (
        Finding(
            "release-table",
            WARNING,
            f"There is no table of vLLM Ascend {version}; that of {chosen.number} was taken",
            "Flags and schemes may differ between the two; try the plan before you rely on it.",
        ),
    )


def _number(version: str) -> str:
    """The release that a version belongs to: post-releases and builds are of it."""
    return re.sub(r"(\.post\d+)?(\+.*)?$", "", version.strip().removeprefix("v"))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("rc")[0]))
