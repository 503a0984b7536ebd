"""What the target has kernels for: methods and schemes."""

from __future__ import annotations

from typing import Any

from tests.lint_cases import (
    DENSE,
    Change,
    Model,
    compressed,
    floating,
    made,
    model_of,
    modelslim,
    moe,
    mtp,
    pack_experts,
    thinking,
)
from tests.registry.lint.cases.case import A2, A3, A5, P310, Case
from tests.registry.lint.cases.changes import (
    configure,
    describe,
    half,
    microscaled,
    put,
    requantize,
    store,
)

_Q = "model.layers.0.self_attn.q_proj"
_AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
_FP8: dict[str, Any] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}


def _awq(model: Model) -> None:
    model.config["quantization_config"] = _AWQ
    for name, part in model.parts.items():
        if name != "lm_head":
            rows, columns = part.shape
            packed = {"qweight": ("I32", (columns, rows // 8)), "scales": ("F16", (1, rows))}
            model.replace(name, {**packed, "qzeros": ("I32", (1, rows // 8))}, "")


def _fp8(model: Model) -> None:
    """DeepSeek's own format."""
    model.description = None
    model.config["quantization_config"] = _FP8
    model.requantize(r"_proj", "FP8_BLOCK")


def _packed(model: Model) -> None:
    """Dense layers as LLM-Compressor's W4A16 packs them."""
    pack_experts(32)(model)
    model.config["quantization_config"]["ignore"] = ["lm_head"]
    for name, part in model.parts.items():
        if name != "lm_head":
            rows, columns = part.shape
            scale = ("BF16", (rows, columns // 32))
            packed = {"weight_packed": ("I32", (rows, columns // 8)), "weight_scale": scale}
            model.replace(name, packed, "")


def _transformed(location: str) -> Change:
    """SpinQuant's R4 in front of down_proj: online, or merged into its weights."""
    apply = {"targets": ["re:.*down_proj$"], "location": location, "inverse": False}

    def change(model: Model) -> None:
        group = {"type": "hadamard", "apply": [apply]}
        config = {"config_groups": {"R4": group}}
        model.config["quantization_config"]["transform_config"] = config

    return change


def _fp8_cache(model: Model) -> None:
    """compressed-tensors for keys and values alone."""
    scheme = {"num_bits": 8, "type": "float", "strategy": "tensor"}
    model.config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "dense",
        "config_groups": {},
        "kv_cache_scheme": scheme,
    }
    for layer in range(2):
        for part in ("k_scale", "v_scale"):
            model.add(f"model.layers.{layer}.self_attn.{part}", ("BF16", (1,)))


def _c8_cache(model: Model) -> None:
    """ModelSlim's INT8 keys and values."""
    describe(kv_cache_type="C8", kv_quant_type="C8")(model)
    for layer in range(2):
        for part in ("k_proj", "v_proj"):
            name = f"model.layers.{layer}.self_attn.{part}.kv_cache"
            model.add(f"{name}_scale", ("F32", (32,)), "C8")
            model.add(f"{name}_offset", ("F32", (32,)), "C8")


def _fa3(model: Model) -> None:
    """ModelSlim's fa3_quant, calibrated."""
    describe(fa_quant_type="FAKQuant")(model)
    for layer in range(2):
        for part in ("fa_q", "fa_k", "fa_v"):
            name = f"model.layers.{layer}.self_attn.{part}"
            model.add(f"{name}.scale", ("F32", (2, 1)), "FAQuant")
            model.add(f"{name}.offset", ("I8", (2, 1)), "FAQuant")


def _float16() -> Model:
    model = modelslim()
    half(model)
    return model


def _dynamic() -> Model:
    return model_of(DENSE, "W8A8_DYNAMIC")


_EXPERTS = r"\.experts\."
_QUAROT = describe(optional={"quarot": {"rotation_map": {"global": "optional/quarot.safetensors"}}})
_V4 = configure(model_type="deepseek_v4", architectures=["DeepseekV4ForCausalLM"])
CASES = {
    "method-unsupported": [
        Case("AWQ", made(floating, _awq), made(compressed), "error", "awq", "on A3", target=A3),
        Case("AWQ anywhere", made(floating, _awq), made(compressed), "warning", "awq", "any NPU"),
        Case(
            "compressed-tensors on 310P",
            made(compressed),
            made(modelslim, half),
            "error",
            "compressed-tensors",
            "on 310P",
            target=P310,
        ),
        Case(
            "FP8 on A2",
            made(mtp, _fp8),
            made(mtp),
            "error",
            "fp8",
            "on A2",
            target=A2,
        ),
        Case(
            # vllm_ascend/quantization/methods/fp8.py reads o_groups, which only DeepSeek V4 has.
            "FP8 of DeepSeek V3 on 950",
            made(mtp, _fp8),
            made(mtp, _fp8, _V4),
            "error",
            "fp8",
            "on 950",
            target=A5,
        ),
    ],
    "scheme-unsupported": [
        Case(
            "static experts",
            made(moe, requantize(_EXPERTS, "W8A8")),
            made(moe),
            "error",
            "W8A8",
            "moe (48)",
        ),
        Case(
            "W4A16 in linear layers",
            made(floating, _packed),
            made(thinking),
            "error",
            "W4A16",
            "attention (8)",
            target=A3,
        ),
        Case(
            "W4A16 in linear layers, for an engine that is not known",
            made(floating, _packed),
            made(thinking),
            "warning",
            "W4A16",
        ),
        Case(
            "W8A16 on 310P",
            made(modelslim, requantize("self_attn", "W8A16")),
            made(modelslim, half),
            "error",
            "W8A16",
            "on 310P",
            target=P310,
        ),
        Case(
            "MXFP8 on A3",
            made(modelslim, microscaled(32)),
            made(modelslim, microscaled(32)),
            "error",
            "W8A8_MXFP8",
            target=A3,
            sound_target=A5,
        ),
        Case(
            "MXFP8 anywhere",
            made(modelslim, microscaled(32)),
            made(mtp, _fp8, _V4),
            "info",
            "W8A8_MXFP8",
            "on 950 only",
        ),
        Case(
            # compressed_tensors_config.py has a method for linear layers and experts alone.
            "a head that compressed-tensors quantized",
            made(compressed, requantize("lm_head", "INT8")),
            made(modelslim, requantize("lm_head", "W8A8_DYNAMIC")),
            "error",
            "W8A8_DYNAMIC",
            "lm_head (1)",
            target=A3,
        ),
        Case(
            # Nothing in vllm-ascend 0.23.0 reads them; the layer is computed without them.
            "rotations that have to be applied while computing",
            made(_dynamic, _QUAROT, store(f"{_Q}.heads_rotation", "F32", 4, 4)),
            made(_dynamic, _QUAROT, put("optional/quarot.safetensors", "")),
            where=None,
            says="rotation",
        ),
        Case(
            # AscendCompressedTensorsConfig does not look at transform_config.
            "compressed-tensors' transforms that have to be applied while computing",
            made(compressed, _transformed("input")),
            made(compressed, _transformed("weight_input")),  # merged into the weights
            where=None,
            says="R4",
            target=A3,
        ),
        Case(
            # The loader passes over the scales (qwen2.py): keys and values stay as they are.
            "a cache in FP8, without which the engine serves it",
            made(floating, _fp8_cache),
            made(modelslim, _c8_cache),
            "warning",
            "FP8",
            "kv_cache (2)",
            target=A3,
            not_fixed_by="W8A8_DYNAMIC",
        ),
        Case(
            "attention computed in INT8 where no kernel does it",
            made(_float16, _fa3),
            made(_float16, _fa3),
            "error",
            "FAKQuant",
            "flash_attention (2)",
            target=P310,
            sound_target=A3,
            not_fixed_by="W8A8_DYNAMIC",
        ),
        Case(
            "a cache in INT8 where no kernel does it",
            made(_float16, _c8_cache),
            made(_float16, _c8_cache),
            "error",
            "C8",
            "kv_cache (2)",
            target=P310,
            sound_target=A2,
            not_fixed_by="W8A8_DYNAMIC",
        ),
    ],
    "moe-type-unsupported": [
        Case(
            "experts of a type that the engine's table lacks",
            made(moe, configure(model_type="qwen2_moe")),
            made(moe, configure(model_type="qwen2_moe"), requantize(_EXPERTS, "FLOAT")),
            "warning",
            "qwen2_moe",
            "'qwen2_moe'",
        )
    ],
}
