"""The state of every toolchain on this machine, for people and scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from registry.config import Settings
from registry.errors import NotFoundError, QregError
from toolchains.catalogue import CATALOGUE, Spec
from toolchains.installed import find_toolchain

READY, OWN, ABSENT, BROKEN, IMPOSSIBLE = (
    "ready", "own environment", "not installed", "broken", "cannot be installed here",
)  # fmt: skip


@dataclass(frozen=True)
class Status:
    """One toolchain's state; `problem` says what is missing or broken."""

    name: str
    state: str
    version: str
    summary: str
    problem: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def all_statuses(settings: Settings) -> list[Status]:
    """The states of all known toolchains, without running any of them."""
    return [_status(spec, settings) for spec in CATALOGUE]


def _status(spec: Spec, settings: Settings) -> Status:
    try:
        toolchain = find_toolchain(spec.name, settings)
    except NotFoundError:
        if spec.missing:
            return Status(spec.name, IMPOSSIBLE, "", spec.summary, f"needs {spec.missing}")
        return Status(spec.name, ABSENT, "", spec.summary, "")
    except QregError as error:
        if not spec.lock:
            return Status(spec.name, IMPOSSIBLE, "", spec.summary, f"needs {spec.missing}")
        return Status(spec.name, BROKEN, "", spec.summary, f"{error.message}. {error.remedy}")
    state = READY if toolchain.lock_digest else OWN
    return Status(spec.name, state, toolchain.version, spec.summary, "")
