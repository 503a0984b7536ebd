"""Quantizes small models with LLM-Compressor. Runs inside the llmcompressor toolchain.

python llmcompressor_outputs.py JOB

JOB: {"output": DIR, "texts": [text, …], "cases": {name: {"recipe": name here, "model": folder}}}
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modeling.moe.linearize import linearize_moe
from transformers import AutoModelForCausalLM, AutoTokenizer

Modifiers = dict[str, dict[str, Any]]

# Names of compressed-tensors' presets of which the recipe consists.
PRESETS = {
    "int8": "INT8",
    "w4a16": "W4A16",
    "w4a16-asym": "W4A16_ASYM",
    "w8a16": "W8A16",
    "w4a8": "W4A8",
    "w4afp8": "W4AFP8",
    "fp8": "FP8",
    "fp8-dynamic": "FP8_DYNAMIC",
    "fp8-block": "FP8_BLOCK",
    "nvfp4": "NVFP4",
    "nvfp4a16": "NVFP4A16",
    "mxfp4": "MXFP4",
    "mxfp4a16": "MXFP4A16",
    "mxfp8": "MXFP8",
    "mxfp8a16": "MXFP8A16",
}
INT8_WEIGHTS = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
INT4_WEIGHTS = {**INT8_WEIGHTS, "num_bits": 4, "strategy": "group", "group_size": 128}
FP8_WEIGHTS = {**INT8_WEIGHTS, "type": "float"}
INT8_INPUTS = {**INT8_WEIGHTS, "strategy": "tensor", "dynamic": False}
FP8_TOKENS = {**FP8_WEIGHTS, "strategy": "token", "dynamic": True}
FP8_CACHE = {**FP8_WEIGHTS, "strategy": "tensor", "dynamic": False}
LAYERS: dict[str, Any] = {"targets": ["Linear"], "ignore": ["lm_head", "re:.*mlp.gate$"]}


def groups(*configs: dict[str, Any]) -> Modifiers:
    numbered = {f"group_{index}": config for index, config in enumerate(configs)}
    return {"QuantizationModifier": {"config_groups": numbered, "ignore": LAYERS["ignore"]}}


def static(**inputs: Any) -> Modifiers:
    activations = {**INT8_INPUTS, **inputs}
    linear = {"targets": ["Linear"], "weights": INT8_WEIGHTS, "input_activations": activations}
    return groups(linear)


OWN: dict[str, Modifiers] = {
    "w8a8-static": static(),
    "w8a8-static-asym": static(symmetric=False),
    "w4a16-gptq": {"GPTQModifier": {**LAYERS, "scheme": "W4A16"}},
    "int8-head": {"QuantizationModifier": {"targets": ["Linear"], "scheme": "INT8"}},
    "int8-spinquant": {
        "SpinQuantModifier": {"rotations": ["R1", "R2"], "transform_type": "hadamard"},
        "QuantizationModifier": {**LAYERS, "scheme": "INT8"},
    },
    "fp8-dynamic-kv": {
        "QuantizationModifier": {**LAYERS, "scheme": "FP8_DYNAMIC", "kv_cache_scheme": FP8_CACHE}
    },
    "kv": {"QuantizationModifier": {"kv_cache_scheme": FP8_CACHE}},
    "mixed": groups(
        {
            "targets": ["re:.*self_attn.*"],
            "weights": FP8_WEIGHTS,
            "input_activations": FP8_TOKENS,
        },
        {"targets": ["re:.*mlp.*"], "weights": INT4_WEIGHTS},
    ),
    "sparse": {"SparseGPTModifier": {**LAYERS, "sparsity": 0.5, "mask_structure": "2:4"}},
}
RECIPES: dict[str, Modifiers] = {
    **{
        name: {"QuantizationModifier": {**LAYERS, "scheme": preset}}
        for name, preset in PRESETS.items()
    },
    **OWN,
}
STATIC = {"w8a8-static", "w8a8-static-asym", "fp8", "nvfp4", "fp8-dynamic-kv", "kv"}
CALIBRATED = STATIC | {"w4a16-gptq", "sparse"}


def quantize(recipe: str, model_folder: str, output: Path, texts: list[str], **save: Any) -> None:
    torch.manual_seed(42)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype="auto")
    linearize_moe(model)
    data: dict[str, Any] = {}
    if recipe in CALIBRATED:
        rows = Dataset.from_list([dict(tokenizer(text)) for text in texts])
        data = {
            "dataset": rows,
            "num_calibration_samples": len(rows),
            "max_seq_length": 128,
            "shuffle_calibration_samples": False,
        }
    # Stages and modifiers of other names than *_stage and *_modifiers are left out without a word.
    stages = {"quant_stage": {"quant_modifiers": RECIPES[recipe]}}
    oneshot(model=model, recipe=yaml.safe_dump(stages, sort_keys=False), **data)
    model.save_pretrained(output, save_compressed=True, **save)
    tokenizer.save_pretrained(output)


def main(job: dict[str, Any]) -> None:
    for name, case in job["cases"].items():
        output = Path(job["output"], name)
        save = {"max_shard_size": "1MB"} if name.endswith("-shards") else {}
        quantize(case["recipe"], case["model"], output, job["texts"], **save)
        print(f"made {name}", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
