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

    `parts` are the weights by component, where they are known. `computed` is the part of the
    overhead that is counted and not measured: HCCL's buffers, the attention mask. `kv_tokens` is
    what the KV cache holds, of each replica; None where its geometry is not known.
    `overhead_source` says where the overhead is known from, if from launches on record.
    """

    capacity: int
    weights: int
    kv_cache: int
    overhead: int
    parts: Mapping[str, int] = field(default_factory=dict)
    computed: int = 0
    kv_tokens: int | None = None
    overhead_source: str = ""

    @property
    def free(self) -> int:
        return self.capacity - self.weights - self.kv_cache - self.overhead


@dataclass(frozen=True)
class Proof:
    """What launches of the same artifact showed, as far as it matters to a plan.

    Attributes:
        passed: whether the server answered; False for a launch that failed.
        time: of the launch, UTC.
        hardware: it ran on.
        engine: that ran it.
        release: of the engine.
        digest_of_plan: the launched plan's.
        differences: what another plan had, a phrase each; none where it was this one. The address,
            the folder and the interpreter do not count.
        seconds_to_ready: from the start to the first healthy answer; None where it never came.
        cause: why it failed.
    """

    passed: bool
    time: str
    hardware: str
    engine: str
    release: str
    digest_of_plan: str
    differences: tuple[str, ...] = ()
    seconds_to_ready: float | None = None
    cause: str = ""

    @property
    def sentence(self) -> str:
        """For people: `proven on A3 on 2026-11-28 with vllm-ascend 0.23.0, with this plan`."""
        verb = "proven" if self.passed else "failed"
        told = f"{verb} on {self.hardware} on {self.time[:10]} with "
        told += f"{self.engine} {self.release}".strip()
        told += ", with another plan" if self.differences else ", with this plan"
        if self.digest_of_plan:
            told += f" ({self.digest_of_plan.removeprefix('sha256:')[:12]})"
        if self.differences:
            told += f": {'; '.join(self.differences[:4])}"
            told += f"; {len(self.differences) - 4} more" if len(self.differences) > 4 else ""
        return f"{told}. {self.cause}" if self.cause else told

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "same_plan": not self.differences, "sentence": self.sentence}


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
        proven: what earlier launches of the artifact showed; no part of the plan's digest.
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
    proven: tuple[Proof, ...] = ()

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
        return {
            **content,
            "kv_tokens": self.memory.kv_tokens,
            "overhead_source": self.memory.overhead_source,
            "proven": [proof.to_json() for proof in self.proven],
            "digest_of_plan": _digest(content),
        }

    def _environments(self) -> dict[str, Any]:
        """The environment of each node, where there are several."""
        if self.nodes == 1:
            return {}
        return {"node_env": [self.env_of(node) for node in range(self.nodes)]}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
