"""LLM-Compressor as a quantizer (llmcompressor 0.14)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from quantizers.coverage import uncovered_layers
from quantizers.interface import Command, Job, Needs, Quantizer
from quantizers.recipe import Recipe
from registry.checkpoint import Checkpoint
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.progress import Progress
from toolchains import Toolchain

_WORKER = Path(__file__).parent / "workers" / "llmcompressor_oneshot.py"
# Importing torch, transformers and LLM-Compressor, measured with llmcompressor 0.14.0.1.
_IMPORT_MEMORY = int(1.2 * 2**30)
_BAR = re.compile(
    r"^(?:\((?P<k>\d+)/(?P<n>\d+)\): )?(?P<stage>[^|]*?):?\s*"
    r"\d+%\|[^|]*\|\s*(?P<done>\d+)/(?P<total>\d+) \["
)
_STAGES = {
    "Loading weights": "loading the model",
    "Loading checkpoint shards": "loading the model",
    "Applying quantization config": "preparing layers",
    "Preparing cache": "preparing calibration",
    "Calibrating": "calibrating",
    "Propagating": "calibrating",
    "Calibrating weights": "quantizing weights",
    "Quantizing": "quantizing weights",
    "Compressing model": "compressing layers",
    "Writing model shards": "writing shards",
    "Dispatching model": "finishing",
    "Linearizing experts": "separating experts",
}
_KNOWN_FAILURES = (
    ("has not been linearized", "Use a recipe with targets: [Linear]; qreg linearizes experts."),
    ("No space left on device", "Free disk space or choose another --output, then run again."),
    (
        "trust_remote_code=True",
        "The model brings Python code of its own: read it, then add --trust-remote-code .",
    ),
    (
        "does not recognize this architecture",
        "This release of LLM-Compressor's transformers does not know the model type; use an "
        "environment of yours that does: qreg toolchain use llmcompressor --python PATH .",
    ),
)


class LLMCompressor(Quantizer):
    """Runs `llmcompressor.oneshot` in its toolchain."""

    name = "llmcompressor"
    toolchain = "llmcompressor"

    def estimate(self, checkpoint: Checkpoint, recipe: Recipe) -> Needs:
        """The model stays in memory; the quantized copies of its layers are made beside it.

        With calibration come the samples' hidden states, twice (inputs and outputs of a layer),
        and for GPTQ the float32 Hessian of the widest layer with its inverse.
        """
        weights = checkpoint.weight_bytes
        linear = [t for t in checkpoint.tensors.values() if is_linear_weight(t)]
        quantized = sum(tensor.elements for tensor in linear)
        memory = weights + quantized + _IMPORT_MEMORY
        if recipe.calibration is not None:
            tokens = recipe.calibration.samples * recipe.calibration.max_tokens
            hidden = int(checkpoint.config.get("hidden_size") or 4096)
            widest = max((tensor.shape[-1] for tensor in linear), default=0)
            memory += 2 * tokens * hidden * 2 + 3 * widest * widest * 4
        # Never more than the source, whatever the scheme; plus the tokenizer and small files.
        return Needs(memory=memory, disk=weights + 64 * 2**20)

    def command(self, job: Job, toolchain: Toolchain) -> Command:
        description = job.work / "job.json"
        calibration = job.recipe.calibration
        description.write_text(
            json.dumps(
                {
                    "source": str(job.source),
                    "output": str(job.output),
                    "stages": job.recipe.stages,
                    "calibration": str(job.calibration) if job.calibration else None,
                    "samples": calibration.samples if calibration else 0,
                    "max_tokens": calibration.max_tokens if calibration else 0,
                    "trust_remote_code": job.trust_remote_code,
                    "seed": 42,
                }
            )
        )
        return Command([str(toolchain.python), "-I", str(_WORKER), str(description)], worker_env())

    def read_line(self, line: str) -> Progress | None:
        match = _BAR.match(line)
        if not match:
            return None
        named = match["stage"].strip()
        stage = _STAGES.get(named, named or "working")
        if match["k"]:
            stage = f"{stage}, block {match['k']} of {match['n']}"
        return Progress(stage, int(match["done"]), int(match["total"]), "steps")

    def uncovered(self, source: Checkpoint, output: Checkpoint, recipe: Recipe) -> list[str]:
        return uncovered_layers(source, output, recipe.quantized())

    def explain(self, log_tail: str) -> str:
        return next((remedy for sign, remedy in _KNOWN_FAILURES if sign in log_tail), "")


def worker_env() -> dict[str, str]:
    """The environment of Python workers in the toolchain: no telemetry, no hub, no surprises."""
    return {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
    }
