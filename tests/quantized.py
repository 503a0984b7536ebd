"""What the real quantizers write: small models of each format that a tool can make on a CPU.

`quantized("modelslim-v1-w8a8", settings)` is a folder as ModelSlim left it, modes and all. The
folders of one worker are made together, in about a minute for the largest set, and kept in
`CACHE/test-models`, under a digest of all that went into them. Needs the toolchains modelslim (for
the float models, too) and llmcompressor.

Not made, since msmodelslim 26.1.0 cannot on a CPU: `fa3_quant` through an adapter of its own (they
are for DeepSeek's kind at its real size, with calls of the NPU; the worker brings one for Qwen3),
and with the v0 API C8 caches, attention and FlatQuant, which stop on Qwen3.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from quantizers.llmcompressor import worker_env
from registry.config import Settings
from registry.errors import NotFoundError, ToolError
from registry.files import remove_tree
from toolchains import find_toolchain, run_tool

_WORKERS = Path(__file__).parent / "workers"
_FLOAT = "float_models"
# What a float model is called, and what it is.
FLOAT_MODELS = {
    "dense": "Qwen3, two layers, bfloat16",
    "dense-float16": "the same in float16",
    "dense-float32": "the same in float32",
    "dense-tied": "with tied embeddings and with biases in attention",
    "moe": "Qwen3-MoE, two layers of eight experts, bfloat16",
}
# Trains the tokenizer and calibrates.
TEXTS = (
    "The registry keeps every artifact under the digest of its files.",
    "A quantizer turns floating point weights into small integers.",
    "Static scales come from calibration, dynamic ones from each token.",
    "Reading the header of a file is enough to know its tensors.",
    "Water boils at one hundred degrees at the level of the sea.",
    "The river runs past the old mill and under the bridge.",
    "Seven times eight is fifty-six, and six times nine is fifty-four.",
    "She opened the window, and the cold air filled the room.",
)


@dataclass(frozen=True)
class Case:
    """One output of a tool.

    Attributes:
        tool: `modelslim` or `llmcompressor`, also the toolchain's name.
        base: the float model it is made from, a key of FLOAT_MODELS.
        worker: the script in `workers` that makes it.
        recipe: a key of that script's RECIPES.
        about: what it is.
    """

    tool: str
    base: str
    worker: str
    recipe: str
    about: str


def _cases(
    tool: str, worker: str, prefix: str, rows: Mapping[str, tuple[str, str, str]]
) -> dict[str, Case]:
    return {
        f"{prefix}-{name}": Case(tool, base, worker, recipe or name, about)
        for name, (base, recipe, about) in rows.items()
    }


# Each row: the model, the recipe where it is not called as the case, and what comes out.
_MODELSLIM_V1 = {
    "w8a8": ("dense", "", "static W8A8"),
    "w8a8-float16": ("dense-float16", "w8a8", "static W8A8; deq_scale is int64"),
    "w8a8-tied": ("dense-tied", "w8a8", "static W8A8 with biases; lm_head is written, too"),
    "w8a8-smooth": ("dense", "", "static W8A8 after smoothing, down_proj in floating point"),
    "w8a8-dynamic": ("dense", "", "W8A8 with scales per token"),
    "w8a8-dynamic-group": ("dense-float32", "", "the same per group of 128; one file, no index"),
    "w8a8-mix": ("dense", "", "W8A8_MIX: static for prefill, dynamic for decode"),
    "w8a8-c8": ("dense", "", "static W8A8 with an INT8 key-value cache"),
    "w8a8-fa3": ("dense", "", "W8A8_DYNAMIC with INT8 attention states"),
    "w8a16": ("dense", "", "INT8 weights per channel"),
    "w8a16-asym": ("dense-float32", "", "INT8 weights per channel, asymmetric, by GPTQ"),
    "w8a16-group": ("dense-float32", "", "INT8 weights per group of 128, by GPTQ"),
    "w4a8-dynamic": ("dense", "", "two INT4 weights a byte; model_quant_type says FLOAT"),
    "w4a4-dynamic": ("dense", "", "W4A4_DYNAMIC beside W8A8_DYNAMIC; one INT4 weight a byte"),
    "w4a4-dynamic-group": ("dense", "", "W4A4_DYNAMIC per group of 64"),
    "fp8-dynamic": ("dense", "", "WFP8AFP8_DYNAMIC"),
    "mxfp8": ("dense", "", "W8A8_MXFP8"),
    "w4a8-mxfp": ("dense", "", "W4A8_MXFP: MXFP4 weights, MXFP8 activations"),
    "w4a4-mxfp4": ("dense", "", "W4A4_MXFP4"),
    "w4a4-mxfp4-dualscale": ("dense", "", "W4A4_MXFP4_DUALSCALE, with a second scale per 256"),
    "w4a4-mxfp4-svd": ("dense", "", "down_proj with a low-rank part in floating point"),
    "flatquant-mxfp4": ("dense", "", "MXFP4 behind FlatQuant's transforms"),
    "flatquant-w4a4": ("dense", "", "the same for INT4; down_proj is FLOAT_FLATQUANT"),
    "quarot": ("dense", "", "rotated W8A8_DYNAMIC, the rotation in a folder `optional`"),
    "quarot-online": ("dense", "", "rotations in layers, which the description does not name"),
    "w16a16s": ("dense", "", "sparse in floating point"),
    "moe-w8a8": ("moe", "", "attention static, experts dynamic, router in floating point"),
    "moe-w4a8": ("moe", "", "INT4 experts; model_quant_type says W8A8_DYNAMIC"),
    "mindie-w8a8": ("dense", "", "static W8A8 for MindIE"),
    "mindie-w8a8-dynamic": ("dense", "", "W8A8_DYNAMIC for MindIE"),
    "mindie-w4a4-mxfp4": ("dense", "", "W4A4_MXFP4 for MindIE"),
    "w8a8-two-savers": ("dense", "", "ModelSlim's and MindIE's files in one folder"),
    "ct-dynamic": ("dense", "", "compressed-tensors, INT8 dynamic"),
    "ct-static": ("dense", "", "compressed-tensors, INT8 static, asymmetric activations"),
    "ct-static-symmetric": ("dense", "", "the same, symmetric, though its config denies it"),
    "ct-moe": ("moe", "", "compressed-tensors, INT8 experts, the rest ignored by one pattern"),
}
_MODELSLIM_V0 = {
    "w8a8": ("dense", "", "static W8A8"),
    "w8a8-float16": ("dense-float16", "w8a8", "static W8A8; deq_scale is int64"),
    "w8a8-mindie": ("dense", "", "static W8A8 for MindIE"),
    "w8a8-per-tensor": ("dense", "", "static W8A8, one scale per weight"),
    "w8a8-smooth": ("dense", "", "static W8A8 after smoothing: biases come in"),
    "w8a8-smooth-mindie": ("dense", "", "the same for MindIE: norms are written twice"),
    "w8a8-parts": ("dense", "", "static W8A8 in numbered files"),
    "w8a8-tp": ("dense", "", "static W8A8 in slices for two ranks"),
    "w8a8-mix": ("dense", "", "W8A8_MIX"),
    "w8a8-dynamic": ("dense", "", "W8A8 with scales per token"),
    "w8a8-dynamic-mindie": ("dense", "", "the same for MindIE"),
    "w8a8s": ("dense", "", "sparse W8A8"),
    "w8a8s-mindie": ("dense", "", "sparse W8A8 for MindIE"),
    "w8a16": ("dense", "", "INT8 weights per channel"),
    "w8a16-mindie": ("dense", "", "the same for MindIE"),
    "w8a16-asym": ("dense", "", "the same, asymmetric"),
    "w8a16-group": ("dense", "", "INT8 weights per group of 64"),
    "w4a16": ("dense", "", "INT4 weights per channel, packed along the inputs"),
    "w4a16-group": ("dense", "", "INT4 weights per group of 64, packed along the outputs"),
    "nf4": ("dense", "", "NF4: flat weights, without their scales"),
    "w4a8-dynamic-group": ("dense", "", "W4A8_DYNAMIC, with second scales per group of 64"),
    "moe-w8a8": ("moe", "", "attention static, experts dynamic, router in floating point"),
}
_LLMCOMPRESSOR = {
    "int8": ("dense", "", "W8A8, scales per token"),
    "int8-tied": ("dense-tied", "int8", "the same with biases and without an lm_head"),
    "int8-head": ("dense", "", "the same with a quantized lm_head"),
    "int8-shards": ("dense", "int8", "the same in shards of 1 MB"),
    "int8-spinquant": ("dense", "", "the same, rotated: a transform_config"),
    "w8a8-static": ("dense", "", "W8A8, one input scale per layer"),
    "w8a8-static-asym": ("dense", "", "the same with zero points"),
    "w4a16": ("dense", "", "INT4 weights per group of 128, packed"),
    "w4a16-asym": ("dense", "", "the same with zero points"),
    "w4a16-gptq": ("dense", "", "the same by GPTQ, with an activation order"),
    "w8a16": ("dense", "", "INT8 weights per group of 128, packed"),
    "w4a8": ("dense", "", "INT4 weights, one a byte, INT8 activations"),
    "w4afp8": ("dense", "", "INT4 weights, one a byte, FP8 activations"),
    "fp8": ("dense", "", "FP8 per tensor, static"),
    "fp8-dynamic": ("dense", "", "FP8 per channel, scales per token"),
    "fp8-dynamic-kv": ("dense", "", "the same with an FP8 key-value cache"),
    "fp8-block": ("dense", "", "FP8 in blocks of 128 by 128"),
    "kv": ("dense", "", "an FP8 key-value cache and nothing else"),
    "nvfp4": ("dense", "", "NVFP4 weights and activations"),
    "nvfp4a16": ("dense", "", "NVFP4 weights"),
    "mxfp4": ("dense", "", "MXFP4 weights and activations"),
    "mxfp4a16": ("dense", "", "MXFP4 weights"),
    "mxfp8": ("dense", "", "MXFP8 weights and activations"),
    "mxfp8a16": ("dense", "", "MXFP8 weights"),
    "mixed": ("dense", "", "FP8 attention and INT4 feed-forward layers"),
    "sparse": ("dense", "", "2:4 sparse in floating point: no quantization_config"),
    "moe-int8": ("moe", "int8", "W8A8, scales per token"),
    "moe-fp8-dynamic": ("moe", "fp8-dynamic", "FP8 per channel, scales per token"),
    "moe-w4a16": ("moe", "w4a16", "INT4 weights per group of 128, packed"),
    "moe-nvfp4a16": ("moe", "nvfp4a16", "NVFP4 weights"),
}
CASES: dict[str, Case] = {
    **_cases("modelslim", "modelslim_v1", "modelslim-v1", _MODELSLIM_V1),
    **_cases("modelslim", "modelslim_v0", "modelslim-v0", _MODELSLIM_V0),
    **_cases("llmcompressor", "llmcompressor_outputs", "llmcompressor", _LLMCOMPRESSOR),
}


def quantized(name: str, settings: Settings) -> Path:
    """The folder of an output, made with all others of its worker on first use.

    Args:
        name: a key of CASES.
        settings: the user's, where the toolchains and the cache are.

    Raises:
        NotFoundError: a toolchain is not installed.
        ToolError: a tool failed; its log's end is in the details.
    """
    return _outputs(CASES[name].worker, settings) / name


def float_model(name: str, settings: Settings) -> Path:
    """The folder of a float model, a key of FLOAT_MODELS; raises as `quantized` does."""
    if name not in FLOAT_MODELS:
        raise NotFoundError(f"There is no float model {name}", remedy=", ".join(FLOAT_MODELS))
    return _outputs(_FLOAT, settings) / name


def _outputs(worker: str, settings: Settings) -> Path:
    """The folder of a worker's outputs."""
    script = _WORKERS / f"{worker}.py"
    cases = {name: case for name, case in CASES.items() if case.worker == worker}
    tool = next((case.tool for case in cases.values()), "modelslim")
    toolchain = find_toolchain(tool, settings)
    models = {case.base: float_model(case.base, settings) for case in cases.values()}
    entries: dict[str, dict[str, str]] = {
        name: asdict(case) | {"model": str(models[case.base])} for name, case in cases.items()
    } or {name: {} for name in FLOAT_MODELS}
    # Neither where things lie nor what a case is called in prose makes another output.
    inputs = [script.read_text(), TEXTS, toolchain.versions]
    inputs += [[name, case.recipe, models[case.base].parent.name] for name, case in cases.items()]
    digest = hashlib.sha256(json.dumps([*inputs, *entries.keys()], sort_keys=True).encode())
    target = settings.cache / "test-models" / f"{worker}-{digest.hexdigest()[:12]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if not target.is_dir():
            _run(script, toolchain.python, {"texts": TEXTS, "cases": entries}, target)
    return target


def _run(script: Path, python: Path, job: Mapping[str, Any], target: Path) -> None:
    """Let a worker fill a folder beside `target`, and rename it."""
    partial = target.parent / f".{target.name}.partial"
    log = target.parent / f"{target.name}.log"
    remove_tree(partial)
    partial.mkdir()
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="qreg-test-models-") as work:
        description = Path(work, "job.json")
        description.write_text(json.dumps({**job, "output": str(partial), "work": work}))
        argv = [str(python), "-I", str(script), str(description)]
        finished = run_tool(argv, log=log, env=worker_env(), cwd=Path(work))
    missing = [name for name in job["cases"] if not (partial / name / "config.json").is_file()]
    if finished.code != 0 or missing:
        raise ToolError(
            f"{script.name} failed (exit code {finished.code}), without {', '.join(missing)}",
            remedy=f"The whole log is {log} .",
            details="\n".join(log.read_text(errors="replace").splitlines()[-12:]),
        )
    os.rename(partial, target)
