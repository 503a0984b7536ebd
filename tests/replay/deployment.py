"""A deployment that someone ran, as a row of the file tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.hardware import Hardware, parse_hardware
from serving.releases.release import DEVICES
from serving.wishes import DECODE, PREFILL, Wishes

_ROLES = {"pd-prefill": PREFILL, "pd-decode": DECODE}
_CHIPS = {"A5": "950"}  # what the 950 was called before it had a name
# Sizes that are wishes: what the machine has room for follows from them.
_SIZES = (
    "max-model-len", "max-num-seqs", "gpu-memory-utilization", "decode-context-parallel-size",
    "prefill-context-parallel-size",
)  # fmt: skip
# Variables of the same kind.
_VARIABLES = ("HCCL_BUFFSIZE", "VLLM_ALLOW_LONG_MAX_MODEL_LEN")
# Flags that decide whether answers are right. Of type and format it is 310P that needs its own.
CORRECTNESS = (
    "quantization", "enable-expert-parallel", "reasoning-parser", "tool-call-parser",
    "tokenizer-mode",
)  # fmt: skip
_ON_310P = ("dtype", "load-format")
METHOD = "speculation method"


# Launches on 310P ran on the card with 2 × 48 GB: some of them do not fit into 24 GB.
_PROFILES = {"310P": "300I-Duo-96G"}


@dataclass(frozen=True)
class Deployment:
    """One row.

    Attributes:
        name: of the row.
        model: the artifact's name, ORG/NAME.
        architecture: a key of the architectures; empty where it is not known.
        chip: `A2`, `A3`, `310P`, `950`.
        role: `prefill`, `decode`, or empty.
        scheme: as the row calls it, `W8A8`; empty of float models and where it is not said.
        method: `ascend`, `compressed-tensors`, `none`.
        tensor, data, pipeline, prefill: its ranks; the last of prefill context parallelism.
        flags: of the command line, without dashes; True for a switch.
        speculation: its `--speculative-config`.
        environment: its variables.
    """

    name: str
    model: str
    architecture: str
    chip: str
    role: str
    scheme: str
    method: str
    tensor: int
    data: int
    pipeline: int
    prefill: int = 1
    flags: Mapping[str, Any] = field(default_factory=dict)
    speculation: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Deployment:
        """Read a row.

        Raises:
            KeyError: it lacks something that every deployment has.
        """
        chip, flags = str(row["hardware"]).rstrip("?"), row.get("flags") or {}
        return cls(
            name=row["name"],
            model=str(row["model"]),
            architecture=row.get("architecture") or "",
            chip=_CHIPS.get(chip, chip),
            role=_ROLES.get(row["role"], ""),
            scheme=row.get("quant_type") or "",
            method=row.get("quant") or "none",
            tensor=int(row.get("tp") or 1),
            data=int(row.get("dp") or 1),
            pipeline=int(row.get("pp") or 1),
            prefill=int(flags.get("prefill-context-parallel-size", 1)),
            flags=flags,
            speculation=row.get("speculative_config") or {},
            environment=row.get("envs") or {},
        )

    @property
    def is_planned_for(self) -> bool:
        """Whether its hardware is one that plans are made for."""
        return self.chip in DEVICES

    @property
    def hardware(self) -> Hardware:
        """One node of it."""
        return parse_hardware(_PROFILES.get(self.chip, self.chip))

    @property
    def nodes(self) -> int:
        """The machines of this server; those of the whole split deployment are more."""
        ranks = self.tensor * self.data * self.pipeline * self.prefill
        return -(-ranks // self.hardware.devices)

    @property
    def drafts_by_itself(self) -> bool:
        """Whether it drafts with the artifact's own MTP layers, and not with another model."""
        return method_of(self.speculation).endswith("mtp")

    def free(self) -> Wishes:
        """Only what qreg cannot know: how many machines there are, and for what."""
        return Wishes(nodes=self.nodes, role=self.role)

    def wishes(self) -> Wishes:
        """Its sizes, and what only its user can know: overrides, a draft model."""
        words = [
            *("--tensor-parallel-size", str(self.tensor)),
            *("--data-parallel-size", str(self.data)),
            *("--pipeline-parallel-size", str(self.pipeline)),
        ]
        for name in _SIZES:
            if name in self.flags:
                words += [f"--{name}", str(self.flags[name])]
        overrides = self.flags.get("hf-overrides")
        if overrides:
            text = overrides if isinstance(overrides, str) else json.dumps(overrides)
            words += ["--hf-overrides", text]
        if self.speculation and not self.drafts_by_itself:
            words += ["--speculative-config", json.dumps(self.speculation)]
        variables = {n: str(v) for n, v in self.environment.items() if n in _VARIABLES}
        return Wishes(
            nodes=self.nodes, role=self.role, arguments=tuple(words), environment=variables
        )

    def correctness(self) -> Mapping[str, Any]:
        """The flags that it sets of those that decide whether answers are right."""
        names = CORRECTNESS + (_ON_310P if self.chip == "310P" else ())
        found = {name: self.flags[name] for name in names if name in self.flags}
        if self.drafts_by_itself:
            found[METHOD] = method_of(self.speculation)
        return found


def method_of(speculation: Mapping[str, Any]) -> str:
    """The method; all names for MTP layers are `mtp`, as vLLM turns them into that."""
    method = str(speculation.get("method") or "")
    return "mtp" if method.endswith("mtp") else method
