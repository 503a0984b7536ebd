"""LLM-Compressor as a quantizer: its `oneshot`, and its model-free path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantizers.bars import read_bar
from quantizers.calibration import write_lines
from quantizers.coverage import linear_modules
from quantizers.failures import KnownFailure
from quantizers.interface import (
    USED,
    Command,
    FindToolchain,
    Intent,
    Job,
    Needs,
    Options,
    Quantizer,
)
from quantizers.llmcompressor.environment import worker_env
from quantizers.llmcompressor.procedure import USUAL, read_procedure
from quantizers.llmcompressor.recipe import (
    TOOL,
    group_size,
    is_model_free,
    parse_stages,
    schemes_of,
)
from quantizers.recipe import Recipe, find_recipe, read_text
from quantizers.samples import ARRAY, shape_of
from registry.checkpoint import Checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.errors import UsageError
from registry.progress import Note, Progress
from toolchains import Toolchain
from toolchains.environment import HUB_SECRETS
from toolchains.interpreter import worker_command

_WORKER = Path(__file__).parents[1] / "workers" / "llmcompressor_oneshot.py"
_MODEL_FREE_WORKER = _WORKER.with_name("llmcompressor_model_free.py")
_BY_SHARD = (
    "Or quantize shard by shard: recipes model-free-w8a8-dynamic and model-free-fp8-dynamic."
)
# Importing torch, transformers and LLM-Compressor, measured with llmcompressor 0.14.0.1.
_IMPORT_MEMORY = int(1.2 * 2**30)
_STAGES = {
    "Loading weights": "loading the model",
    "Loading checkpoint shards": "loading the model",
    "Applying quantization config": "preparing layers",
    "Preparing cache": "preparing calibration",
    "Calibrating": "calibrating",
    "Propagating": "calibrating",
    "Calibrating weights": "quantizing weights",
    "Validating": "looking at shards",
    "Quantizing": "quantizing shards",
    "Compressing model": "compressing layers",
    "Writing model shards": "writing shards",
    "Dispatching model": "finishing",
    "Linearizing experts": "separating experts",
}


class LLMCompressor(Quantizer):
    """Runs `llmcompressor.oneshot` in its toolchain."""

    name = TOOL
    toolchain = TOOL
    failures = (
        KnownFailure(
            r"has not been linearized",
            "experts that are one tensor were not taken apart",
            "Use a recipe with targets: [Linear]; qreg linearizes experts.",
        ),
        KnownFailure(
            r"calibration set: (?:no column|it has no rows)",
            "the calibration set has no texts that qreg finds",
            "A data set needs a column text or messages; convert it to JSONL, a line "
            '{"text": "…"} a sample.',
        ),
        KnownFailure(
            r"DatasetNotFoundError|Couldn't reach .* on the Hub|"
            r"OfflineModeIsEnabled|LocalEntryNotFoundError",
            "the calibration set could not be fetched",
            "Check its name and the network, or give a folder or a JSONL file.",
        ),
        KnownFailure(
            r"Model Free PTQ cannot calibrate activations",
            "the model-free path measures no activations",
            "Choose a scheme with dynamic activations, such as INT8 or FP8_DYNAMIC.",
        ),
        KnownFailure(
            r"(?:not|n't) (?:evenly )?divisible.*group|group_size.*(?:divisible|divide)",
            "a layer's width is no multiple of the group size",
            "Choose another group_size in the recipe, or put those layers on its ignore list.",
        ),
    )

    def load_recipe(self, text: str, options: Options, toolchain: FindToolchain) -> Recipe:
        path = find_recipe(text, TOOL)
        return parse_stages(read_text(path), path.stem, str(path))

    def check(self, checkpoint: Checkpoint, recipe: Recipe, options: Options) -> list[Note]:
        if options.script or options.arguments:
            raise UsageError(
                "LLM-Compressor runs no scripts of its own",
                remedy="--script is for --tool modelslim; give a recipe.",
            )
        if options.device.startswith("npu"):
            raise UsageError(
                "LLM-Compressor does not run on NPUs",
                remedy="Leave out --device: it uses a GPU where there is one, and the CPU else.",
            )
        if options.procedure is None or is_model_free(recipe):
            return []
        read_procedure(options.procedure)
        if options.procedure:
            return []
        text = (
            "The record is of a qreg that did not shuffle samples, let the tokenizer add a second "
            "BOS to chats, and cut shards at 50 GB: it is done so again"
        )
        return [Note(text)]

    def procedure(self, recipe: Recipe, options: Options) -> Mapping[str, Any]:
        if is_model_free(recipe):  # it takes no samples, and keeps the shards of the source
            return {}
        if options.procedure is None:
            return USUAL.to_json()
        return read_procedure(options.procedure).to_json()

    def estimate(self, checkpoint: Checkpoint, recipe: Recipe) -> Needs:
        """The model stays in memory; the quantized copies of its layers are made beside it.

        With calibration come the samples' hidden states, twice (inputs and outputs of a layer),
        and for GPTQ the float32 Hessian of the widest layer with its inverse. The model-free path
        has a shard at a time, in floating point and quantized, and one tensor in float32.
        """
        weights = checkpoint.weight_bytes
        linear = [t for t in checkpoint.tensors.values() if is_linear_weight(t)]
        # Never more than the source, whatever the scheme; plus the tokenizer and small files.
        disk = weights + 64 * 2**20
        if is_model_free(recipe):
            shard = max(checkpoint.files.get(path, 0) for path in checkpoint.shards)
            largest = max((tensor.elements for tensor in linear), default=0)
            return Needs(int(1.6 * shard) + 8 * largest + _IMPORT_MEMORY, disk)
        quantized = sum(tensor.elements for tensor in linear)
        memory = weights + quantized + _IMPORT_MEMORY
        if recipe.calibration is None:
            return Needs(memory, disk, _BY_SHARD)
        tokens = recipe.calibration.samples * recipe.calibration.max_tokens
        hidden = int(checkpoint.text_config.get("hidden_size") or 4096)
        widest = max((tensor.shape[-1] for tensor in linear), default=0)
        memory += 2 * tokens * hidden * 2 + 3 * widest * widest * 4
        return Needs(memory, disk)

    def command(self, job: Job, toolchain: Toolchain) -> Command:
        description = job.work / "job.json"
        calibration = job.recipe.calibration
        common = {
            "source": str(job.source),
            "output": str(job.output),
            "device": job.options.device,
        }
        if is_model_free(job.recipe):
            worker = _MODEL_FREE_WORKER
            description.write_text(json.dumps({**common, "seed": USUAL.seed, **job.recipe.body}))
        else:
            worker = _WORKER
            description.write_text(
                json.dumps(
                    {
                        **common,
                        "stages": job.recipe.body,
                        "procedure": dict(self.procedure(job.recipe, job.options)),
                        "calibration": _set_of(job),
                        "samples": calibration.samples if calibration else 0,
                        "max_tokens": calibration.max_tokens if calibration else 0,
                        "trust_remote_code": job.options.trust_remote_code,
                        "used": str(job.work / USED),
                    }
                )
            )
        env = worker_env()
        secrets: tuple[str, ...] = ()
        if job.calibration is not None and not isinstance(job.calibration, Path):
            # A data set of a hub was asked for by name; it may be a private one.
            env["HF_HUB_OFFLINE"] = "0"
            secrets = HUB_SECRETS
        env["HF_DATASETS_CACHE"] = str(job.work / "datasets")
        return Command([*worker_command(toolchain, worker), str(description)], env, secrets)

    def finish(self, job: Job) -> None:
        """The model-free path copies all that is no safetensors file, also what is not wanted."""
        for pattern in ("README.md", "qreg.json", "*.bin", "*.pt", "*.pth", "*.gguf", "*.h5"):
            for path in job.output.glob(pattern):
                path.unlink()

    def read_line(self, line: str) -> Progress | None:
        return read_bar(line, _STAGES)

    def intent(self, source: Checkpoint, recipe: Recipe) -> Intent:
        components = dict(linear_modules(source, read_architecture(source.config).layers))
        return Intent(
            method="compressed-tensors",
            layers=schemes_of(recipe, components),
            components=components,
            group_size=group_size(recipe),
        )


def _set_of(job: Job) -> str | None:
    """The calibration set as the worker reads it: JSON Lines, a folder, or a name of a hub."""
    given = job.calibration
    if given is None:
        return None
    if isinstance(given, Path) and given.is_file() and shape_of(given) == ARRAY:
        lines = job.work / "calibration.jsonl"
        write_lines(given, lines)
        return str(lines)
    return str(given)
