"""A plan: how to launch an engine for an artifact on some hardware, every flag with its reason.

A plan is a pure value. Rendering and launching take it and add nothing to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from registry.finding import ERROR, Finding

# Where a flag comes from.
ARTIFACT, HARDWARE, RELEASE, USER, DEFAULT = "artifact", "hardware", "release", "user", "default"
FAMILY = "family rule"


@dataclass(frozen=True)
class Flag:
    """One setting of the launch.

    Attributes:
        name: `--max-model-len`, or `VLLM_CPU_KVCACHE_SPACE` for an environment variable.
        value: as written on the command line; None for a switch.
        reason: why it is there, in a sentence.
        source: one of artifact, hardware, release, family rule, user, default.
        more: further values of an argument that takes several.
        evidence: where the reason is known from: documents, issues, measurements.
    """

    name: str
    value: str | None
    reason: str
    source: str
    more: tuple[str, ...] = ()
    evidence: str = ""

    @property
    def is_environment(self) -> bool:
        """Whether it is an environment variable and not an argument."""
        return not self.name.startswith("-")

    def argv(self) -> list[str]:
        """Its words on the command line; none for an environment variable."""
        if self.is_environment:
            return []
        return [self.name] if self.value is None else [self.name, self.value, *self.more]

    def to_json(self) -> dict[str, str | None]:
        value = self.value if self.value is None else " ".join([self.value, *self.more])
        return {
            "name": self.name,
            "value": value,
            "reason": self.reason,
            "source": self.source,
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class Memory:
    """Bytes on each device. `free` is what is left; negative where it does not fit.

    `parts` are the weights by component, where they are known.
    """

    capacity: int
    weights: int
    kv_cache: int
    overhead: int
    parts: Mapping[str, int] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return self.capacity - self.weights - self.kv_cache - self.overhead


@dataclass(frozen=True)
class Plan:
    """See the module.

    Attributes:
        artifact: ORG/NAME.
        digest: of the artifact.
        hardware: the profile's name.
        engine: which engine.
        release: its version; empty where its toolchain is not installed.
        command: the words before the flags: interpreter and entry point.
        flags: arguments and environment variables, in order.
        memory: what goes where on each device.
        findings: errors first.
        chat: whether the artifact answers conversations, or only continues text.
        folder: the model's folder on the machine that launches.
        parallel: how it is spread: `tensor`, `data`, `pipeline`, `expert` ranks.
        node_flags: what the command of each node has besides, where there are several.
        chip: kind of NPU, `A3`; empty elsewhere.
    """

    artifact: str
    digest: str
    hardware: str
    engine: str
    release: str
    command: tuple[str, ...]
    flags: tuple[Flag, ...]
    memory: Memory
    findings: tuple[Finding, ...]
    chat: bool
    folder: str
    parallel: Mapping[str, int] = field(default_factory=dict)
    node_flags: tuple[tuple[Flag, ...], ...] = ()
    chip: str = ""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that forbid a launch."""
        return tuple(finding for finding in self.findings if finding.severity == ERROR)

    @property
    def fits(self) -> bool:
        """Whether it can be launched."""
        return not self.errors

    @property
    def nodes(self) -> int:
        """Machines that it takes."""
        return max(1, len(self.node_flags))

    @property
    def argv(self) -> list[str]:
        """The whole command; the first node's where there are several."""
        return self.argv_of(0)

    def flags_of(self, node: int) -> tuple[Flag, ...]:
        """All flags of one node, counted from 0."""
        return (*self.flags, *(self.node_flags[node] if self.node_flags else ()))

    def argv_of(self, node: int) -> list[str]:
        """The whole command of one node, counted from 0."""
        return [*self.command, *(word for flag in self.flags_of(node) for word in flag.argv())]

    @property
    def env(self) -> dict[str, str]:
        """Additions to the environment; the first node's where there are several."""
        return self.env_of(0)

    def env_of(self, node: int) -> dict[str, str]:
        """Additions to the environment of one node, counted from 0."""
        flags = self.flags_of(node)
        return {flag.name: flag.value or "" for flag in flags if flag.is_environment}

    def value(self, name: str) -> str | None:
        """The value of a flag, None if it is not there."""
        return next((flag.value for flag in self.flags if flag.name == name), None)

    def flag(self, name: str) -> Flag | None:
        """A flag or variable by its name, None if it is not there."""
        return next((flag for flag in self.flags_of(0) if flag.name == name), None)

    def to_json(self) -> dict[str, Any]:
        content = {
            "artifact": self.artifact,
            "digest": self.digest,
            "hardware": self.hardware,
            "release": self.release,
            "engine": self.engine,
            "fits": self.fits,
            "nodes": self.nodes,
            "argv": [self.argv_of(node) for node in range(self.nodes)],
            "env": self.env,
            **self._environments(),
            "flags": [flag.to_json() for flag in self.flags],
            "parallel": dict(self.parallel),
            "memory": {
                "capacity": self.memory.capacity,
                "weights": self.memory.weights,
                "kv_cache": self.memory.kv_cache,
                "overhead": self.memory.overhead,
                "free": self.memory.free,
            },
            "components": dict(self.memory.parts),
            "findings": [asdict(finding) for finding in self.findings],
        }
        return {**content, "digest_of_plan": _digest(content)}

    def _environments(self) -> dict[str, Any]:
        """The environment of each node, where there are several."""
        if self.nodes == 1:
            return {}
        return {"node_env": [self.env_of(node) for node in range(self.nodes)]}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
