"""vLLM on CUDA GPUs."""

from __future__ import annotations

from pathlib import Path

from serving.engines.interface import Engine
from serving.engines.sighting import sight_of
from serving.engines.steps import STEPS
from serving.facts import ArtifactFacts
from serving.failures import CUDA
from serving.fit import Fit
from serving.fit.npu import Request, fit_devices
from serving.hardware import Detected, Hardware
from serving.plan import Flag
from serving.releases import Release
from serving.rules import cuda
from serving.rules.ascend.parallel import nodes
from serving.rules.families import family_says
from serving.rules.situation import Check, Rule, Situation
from serving.wishes import Wishes


class VllmCuda(Engine):
    """Starts `vllm serve` on GPUs of NVIDIA."""

    name = "vllm"
    toolchain = "vllm"
    steps = STEPS
    failures = CUDA

    def sight(self) -> Detected:
        return sight_of("cuda", "GPUs")

    def fit(
        self, facts: ArtifactFacts, hardware: Hardware, wishes: Wishes, release: Release | None
    ) -> Fit:
        said = family_says(facts, "draft")
        tokens = said.value["tokens"] if said and facts.mtp_layers else 0
        most = facts.architecture.max_positions
        return fit_devices(Request(facts, hardware, wishes, most, speculative=tokens))

    @property
    def rules(self) -> tuple[Rule, ...]:
        return cuda.RULES

    @property
    def checks(self) -> tuple[Check, ...]:
        return cuda.CHECKS

    def node_flags(self, situation: Situation) -> tuple[tuple[Flag, ...], ...]:
        return nodes(situation)

    def command(self, python: Path, folder: str) -> tuple[str, ...]:
        return (str(python), "-m", "vllm.entrypoints.cli.main", "serve", folder)
