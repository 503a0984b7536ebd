"""ModelSlim's description against the tensors, in both directions."""

from __future__ import annotations

from pathlib import Path

from tests.lint_cases import Change, Model, compressed, made, modelslim, moe, mtp
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import (
    arrange,
    describe,
    drop,
    finish,
    put,
    requantize,
    retype,
    store,
    undescribe,
    unstore,
)

_Q = "model.layers.0.self_attn.q_proj"
_DOWN = "model.layers.0.mlp.down_proj"
_ATTENTION = "model.layers.0.self_attn"
_NAME = "quant_model_description.json"
_PRACTICE_KEYS = {"max_supported_tp": 4, f"{_Q.rpartition('.')[0]}.quant_type": "INT8"}


def _cut_off(folder: Path) -> None:
    path = folder / "quant_model_weights-00017-of-00040.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _kinds(pattern: str, kind: str) -> Change:
    """Describe matching tensors otherwise than they are stored."""

    def change(model: Model) -> None:
        assert model.description is not None
        for name in model.tensors:
            if name.startswith(pattern):
                model.description[name] = kind

    return change


def _all_layers(scheme: str, dtype: str, declared: str) -> Change:
    """Every quantized layer in one scheme."""

    def change(model: Model) -> None:
        assert model.description is not None
        for name, part in model.parts.items():
            if name != "lm_head":
                scale = ("F32", (part.shape[0], 1))
                parts = {"weight": (dtype, part.shape), "weight_scale": scale}
                model.replace(name, {**parts, "weight_offset": scale}, scheme)
        model.description["model_quant_type"] = declared

    return change


def _static_inputs(model: Model) -> None:
    """compressed-tensors' static W8A8: one input scale a layer."""
    group = model.config["quantization_config"]["config_groups"]["group_0"]
    group["input_activations"] = {
        "num_bits": 8, "type": "int", "strategy": "tensor", "dynamic": False, "symmetric": True,
    }  # fmt: skip
    for name in model.parts:
        if name != "lm_head":
            model.add(f"{name}.input_scale", ("BF16", (1,)))


def _old_w4a8(model: Model) -> None:
    """Experts in the layout before version 1.0.0: not packed, without scale_bias."""
    assert model.description is not None
    del model.description["version"]
    model.description["group_size"] = 64
    for name, part in model.parts.items():
        if ".experts." in name:
            rows, columns = part.shape
            scale = ("F32", (rows, 1))
            seconds = (rows, max(1, columns // 64))
            tensors = {
                "weight": ("I8", (rows, columns)),
                "weight_scale": scale,
                "weight_offset": scale,
                "weight_scale_second": ("F32", seconds),
                "weight_offset_second": ("I64", seconds),
            }
            model.replace(name, tensors, "W4A8_DYNAMIC")


def _cached(model: Model) -> None:
    """An INT8 cache of keys and values, whose scales belong to the float k_proj and v_proj."""
    assert model.description is not None
    model.description["kv_cache_type"] = "C8"
    for layer in range(2):
        for part in ("k_proj", "v_proj"):
            for suffix in ("kv_cache_scale", "kv_cache_offset"):
                model.add(f"model.layers.{layer}.self_attn.{part}.{suffix}", ("F32", (32,)), "C8")


_FLOAT_ATTENTION = requantize(r"self_attn", "FLOAT")
CASES = {
    "described-missing": [
        Case(
            "a scale that no shard holds",
            made(modelslim, unstore(rf"{_DOWN}\.weight_scale")),
            made(modelslim, describe(**_PRACTICE_KEYS)),
            where=f"{_DOWN}.weight_scale",
            says=f"{_DOWN}.weight_scale",
        )
    ],
    "undescribed": [
        Case(
            "a layer's weight",
            made(modelslim, undescribe(rf"{_Q}\.weight$")),
            # Only looked up once MTP is switched on, and mtp-undescribed tells of it.
            made(mtp, undescribe(r"layers\.2\.")),
            where=f"{_Q}.weight",
            says=f"{_Q}.weight",
        ),
        Case(
            "several",
            made(modelslim, undescribe(r"layers\.1\.self_attn")),
            # It lacks all of them, and json-damaged says why.
            made(modelslim, finish(lambda folder: (folder / _NAME).write_text("{"))),
            where="model.layers.1.self_attn.k_proj.weight",
            says="and 3 more weights",
        ),
        Case(
            "a norm, which no engine looks up",
            made(modelslim, undescribe(r"^model\.norm")),
            made(modelslim, store(f"{_Q}.heads_rotation", "F32", 4, 4), undescribe("rotation")),
            "warning",
            "model.norm.weight",
        ),
        Case(
            # vllm-ascend 0.23.0 takes both as float then (get_quant_method); older ones stop.
            "embedding and head",
            made(modelslim, undescribe(r"^(lm_head|model\.embed_tokens)")),
            made(modelslim),
            "warning",
            "lm_head.weight",
        ),
    ],
    "type-contradicts": [
        Case(
            "floats described as integers",
            made(modelslim, requantize("down_proj", "FLOAT"), _kinds(_DOWN, "W8A8_DYNAMIC")),
            made(modelslim, requantize("down_proj", "FLOAT"), _kinds(_DOWN, "W16A16S")),
            where=f"{_DOWN}.weight",
            says="are BF16, described as W8A8_DYNAMIC",
        ),
        Case(
            "integers described as floats",
            made(modelslim, _kinds(_DOWN, "FLOAT")),
            made(modelslim, requantize("down_proj", "FLOAT")),
            where=f"{_DOWN}.weight",
            says="are I8, described as FLOAT",
        ),
        Case(
            "an MTP layer left in FP8, described as float",
            made(mtp, requantize(r"eh_proj", "FP8_BLOCK"), _kinds("model.layers.2.eh", "FLOAT")),
            made(mtp, retype(r"layers\.2\.mlp\.gate\.weight", "F32")),
            where="model.layers.2.eh_proj.weight",
            says="are F8_E4M3, described as FLOAT",
        ),
    ],
    "layer-incomplete": [
        Case(
            "no scale, and a model in many files",
            made(modelslim, arrange(shards=40), drop(rf"{_DOWN}\.weight_scale")),
            # The scale is in the file that was cut off, and shard-damaged says so.
            made(modelslim, arrange(shards=40), finish(_cut_off)),
            where=f"{_DOWN}.weight_scale",
        ),
        Case(
            "no scale",
            made(modelslim, drop(rf"{_DOWN}\.weight_scale")),
            made(modelslim),  # static layers have no weight_scale in v1's format
            where=f"{_DOWN}.weight_scale",
            says="missing for W8A8_DYNAMIC",
        ),
        Case(
            "no deq_scale",
            made(modelslim, drop(rf"{_Q}\.deq_scale")),
            made(modelslim, requantize("layers.0.self_attn", "FLOAT")),
            where=f"{_Q}.deq_scale",
            says="missing for W8A8",
        ),
        Case(
            "experts of version 1.0.0 without the bias that their kernel adds",
            made(moe, requantize(r"\.experts\.", "W4A8_DYNAMIC"), drop(r"\.scale_bias$")),
            made(moe, _old_w4a8),
            where=None,
            says="scale_bias",
        ),
        Case(
            "compressed-tensors without a scale",
            made(compressed, drop(rf"{_DOWN}\.weight_scale")),
            made(compressed),
            where=f"{_DOWN}.weight_scale",
            says="weight_scale",
        ),
        Case(
            "compressed-tensors without a static input scale",
            made(compressed, _static_inputs, drop(rf"{_DOWN}\.input_scale")),
            made(compressed, _static_inputs),
            where=f"{_DOWN}.input_scale",
            says="input_scale",
        ),
    ],
    "attention-scales-missing": [
        Case(
            "a cache of INT8 without a scale",
            made(modelslim, describe(kv_cache_type="C8", kv_quant_type="C8")),
            made(
                modelslim,
                describe(kv_cache_type="C8", kv_quant_type="C8"),
                store(f"{_ATTENTION}.k_proj.kv_cache_scale", "F32", 32, kind="C8"),
            ),
            where="kv_cache_type",
            says="kv_cache_type C8",
        ),
        Case(
            "attention in INT8 without a scale",
            made(modelslim, describe(fa_quant_type="FAKQuant")),
            made(
                modelslim,
                describe(fa_quant_type="FAKQuant"),
                store(f"{_ATTENTION}.fa_k.scale", "F32", 2, 1, kind="FAQuant"),
            ),
            where="fa_quant_type",
            says="fa_quant_type FAKQuant",
        ),
        Case(
            "v0's word for the same",
            made(modelslim, describe(fa_quant_type="FAQuant")),
            # What is computed for each token has no scale to store, and no key for all layers.
            made(modelslim, describe(**{f"{_ATTENTION}.quant_type": "FP8_DYNAMIC"})),
            where="fa_quant_type",
        ),
    ],
    "description-name": [
        Case(
            "MindIE's name",
            made(
                modelslim,
                finish(lambda f: (f / _NAME).rename(f / "quant_model_description_w8a8.json")),
            ),
            made(modelslim, put("quant_model_description_w8a8.json", "{}")),
            where="quant_model_description_w8a8.json",
            says="not quant_model_description.json",
        )
    ],
    "model-quant-type": [
        Case(
            "a W4A8 model that says FLOAT",
            made(
                moe, requantize(r"\.experts\.", "W4A8_DYNAMIC"), describe(model_quant_type="FLOAT")
            ),
            made(modelslim),  # says W8A8, and half of its layers are W8A8_DYNAMIC
            "info",
            "FLOAT",
            "says FLOAT; the layers are W4A8_DYNAMIC × 48",
        ),
        Case(
            "an FP8 model that says W8A8",
            made(modelslim, _all_layers("WFP8AFP8_DYNAMIC", "F8_E4M3", "W8A8")),
            made(modelslim, _all_layers("WFP8AFP8_DYNAMIC", "F8_E4M3", "WFP8AFP8_DYNAMIC")),
            "info",
            "W8A8",
            "WFP8AFP8_DYNAMIC × 14",
        ),
    ],
    "scales-orphaned": [
        Case(
            "a scale of a layer that was rolled back to float",
            made(
                modelslim,
                requantize("down_proj", "FLOAT"),
                store(f"{_DOWN}.weight_scale", "F32", 64, 1, kind="W8A8_DYNAMIC"),
            ),
            made(modelslim, _FLOAT_ATTENTION, _cached),
            "warning",
            f"{_DOWN}.weight_scale",
        )
    ],
}
