"""What the user asks of a launch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from registry.errors import UsageError
from serving.arguments import parse_arguments
from serving.plan import Flag

LATENCY, THROUGHPUT, CONTEXT = "latency", "throughput", "context"
GOALS = (LATENCY, THROUGHPUT, CONTEXT)
PREFILL, DECODE = "prefill", "decode"
ROLES = (PREFILL, DECODE)
# Tokens a step, by whether a node does nothing but prefill.
BATCHED_TOKENS = {False: 4096, True: 16384}
# Short forms of vLLM's flags that matter here.
_ALIASES = {"-tp": "--tensor-parallel-size", "-dp": "--data-parallel-size",
            "-pp": "--pipeline-parallel-size", "-q": "--quantization",
            "-dcp": "--decode-context-parallel-size",
            "-pcp": "--prefill-context-parallel-size"}  # fmt: skip


@dataclass(frozen=True)
class OverheadSample:
    """What a launch on record took beside weights and KV cache, on the same kind of device.

    Attributes:
        bytes: on the fullest device, without what a plan computes (HCCL's buffers, masks).
        weights: bytes of the weights on a device.
        step: tokens of a step (`--max-num-batched-tokens`); 0 where it is not known.
        source: when and where, for people.
        sequences: at once; 0 where it is not known.
        ranks: tensor, data and pipeline parallel sizes.
        cold: whether graphs were compiled, which takes memory that a cache of them saves.
    """

    bytes: int
    weights: int
    step: int
    source: str
    sequences: int = 0
    ranks: tuple[int, int, int] = (1, 1, 1)
    cold: bool = True


@dataclass(frozen=True)
class Wishes:
    """What the user asks of the launch.

    Attributes:
        host: address to listen on.
        port: to listen on.
        trust_remote_code: whether the model's own Python code may run.
        arguments: the engine's own; they win over everything.
        environment: variables of the user; those that a plan would set win over the plan's.
        nodes: machines of the hardware's kind.
        goal: `latency`, `throughput` or `context`: what the layout is chosen for.
        role: `prefill` or `decode` of a split deployment; empty for one server that does both.
        address: of the first node, where there are several.
        interface: of the network between the nodes, `eth0`; empty where each node finds its own.
        peer: tensor and data parallel sizes of the other side of a split deployment.
        measured: overheads that launches on record had with the same engine, release and chip.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    trust_remote_code: bool = False
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 1
    goal: str = LATENCY
    role: str = ""
    address: str = ""
    interface: str = ""
    peer: tuple[int, int] | None = None
    measured: tuple[OverheadSample, ...] = ()

    @cached_property
    def flags(self) -> Sequence[Flag]:
        """The engine's own arguments, parsed, under their long names."""
        found = parse_arguments(self.arguments)
        return [
            Flag(_ALIASES.get(f.name, f.name), f.value, f.reason, f.source, f.more) for f in found
        ]

    def given(self, name: str) -> str | None:
        """The value that the user gives to a flag; empty for a switch, None if it is not given."""
        for flag in reversed(self.flags):
            if flag.name == name:
                return flag.value or ""
        return None

    def number(self, name: str) -> int | None:
        """A whole number above zero that the user gives to a flag.

        Raises:
            UsageError: it is none.
        """
        value = self.given(name)
        if value is None:
            return None
        text = value.lower()
        for suffix, unit in (("k", 1000), ("m", 10**6)):  # vLLM's short forms of lengths
            if text.endswith(suffix) and text[:-1].isdigit():
                return int(text[:-1]) * unit
        if not text.isdigit() or int(text) < 1:
            raise UsageError(f"{name} {value} is no number of things", remedy="Give one above 0.")
        return int(text)

    def share(self, name: str) -> float | None:
        """A number above 0 and up to 1 that the user gives to a flag.

        Raises:
            UsageError: it is none.
        """
        value = self.given(name)
        if value is None:
            return None
        try:
            share = float(value)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise UsageError(f"{name} {value} is no share", remedy="Give one above 0, up to 1.")
        return share

    def table(self, name: str) -> Mapping[str, Any] | None:
        """A JSON object that the user gives to a flag, with single keys of it (`--flag.key`).

        Raises:
            UsageError: it is none.
        """
        found: dict[str, Any] | None = None
        for flag in self.flags:
            if flag.name == name:
                try:
                    value = json.loads(flag.value or "")
                except ValueError:
                    value = None
                if not isinstance(value, dict):
                    raise UsageError(
                        f"{name} takes a JSON object, not {flag.value!r}",
                        remedy=f"Write {name} '{{\"key\": value}}'.",
                    )
                found = {**(found or {}), **value}
            elif flag.name.startswith(f"{name}."):
                key = flag.name[len(name) + 1 :].replace("-", "_")
                found = {**(found or {}), key: flag.value}
        return found
