"""What the model consists of: fused layers, experts, MTP, head, embedding, layers."""

from __future__ import annotations

from tests.lint_cases import MOE as MOE_CONFIG
from tests.lint_cases import (
    Change,
    Model,
    compressed,
    floating,
    made,
    model_of,
    modelslim,
    moe,
    mtp,
    vision,
)
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import arrange, configure, drop, requantize

_LAYER = "model.layers.0.self_attn"


def _float_experts() -> Model:
    return model_of(MOE_CONFIG, "FLOAT")


def _fuse(model: Model) -> None:
    """Experts in two tensors a layer, as transformers 5 writes them."""
    for layer in range(2):
        name = f"model.layers.{layer}.mlp.experts"
        drop(name.replace(".", r"\."))(model)
        model.add(f"{name}.gate_up_proj", ("BF16", (8, 64, 64)))
        model.add(f"{name}.down_proj", ("BF16", (8, 64, 32)))


def _ignore(pattern: str) -> Change:
    """Leave layers of a compressed-tensors model out of quantization."""

    def change(model: Model) -> None:
        model.requantize(pattern, "FLOAT")
        model.config["quantization_config"]["ignore"].append(f"re:.*{pattern}$")

    return change


def _vocabulary(size: int) -> Change:
    return lambda model: model.config["text_config"].update(vocab_size=size)


def _llama_vision(rows: int) -> Change:
    """The language model of Llama 3.2 Vision, whose embedding has 8 rows beyond vocab_size."""

    def change(model: Model) -> None:
        model.config.update(model_type="mllama_text_model")
        model.tensors["model.embed_tokens.weight"] = ("BF16", (rows, 64))

    return change


def _vision_first(model: Model) -> None:
    """The vision tower stands before the language model."""
    order = sorted(model.tensors, key=lambda name: "visual" not in name)
    model.tensors = {name: model.tensors[name] for name in order}


CASES = {
    "fused-shards": [
        Case(
            "v_proj in another scheme than q_proj and k_proj",
            made(modelslim, requantize(r"layers\.0\.self_attn\.v_proj", "FLOAT")),
            made(modelslim, requantize(r"layers\.0\.self_attn\.o_proj", "FLOAT")),
            where=_LAYER,
            says="v_proj FLOAT",
        ),
        Case(
            "up_proj in another scheme than gate_proj",
            made(modelslim, requantize(r"layers\.1\.mlp\.up_proj", "W8A8")),
            made(modelslim, requantize(r"layers\.1\.mlp\.down_proj", "W8A8")),
            where="model.layers.1.mlp",
            says="up_proj W8A8",
        ),
        Case(
            "one of DeepSeek's down-projections is float",
            made(mtp, requantize(r"layers\.0\.self_attn\.q_a_proj", "FLOAT")),
            made(mtp, requantize(r"layers\.0\.self_attn\.q_b_proj", "FLOAT")),
            where=_LAYER,
            says="q_a_proj FLOAT",
        ),
        Case(
            "a part of Qwen3.5's linear attention is float",
            made(vision, requantize(r"layers\.0\.linear_attn\.in_proj_z", "FLOAT")),
            made(vision, requantize(r"layers\.0\.linear_attn\.out_proj", "FLOAT")),
            where="model.language_model.layers.0.linear_attn",
            says="in_proj_z FLOAT",
        ),
        Case(
            "compressed-tensors ignores k_proj alone",
            made(compressed, _ignore(r"layers\.0\.self_attn\.k_proj")),
            made(compressed, _ignore(r"layers\.0\.self_attn\.[qkv]_proj")),
            where=_LAYER,
            says="k_proj FLOAT",
        ),
    ],
    "experts-mixed": [
        Case(
            "one expert is float",
            made(moe, requantize(r"layers\.1\.mlp\.experts\.3\.", "FLOAT")),
            made(moe, requantize(r"layers\.1\.mlp\.experts\.", "FLOAT")),
            where="model.layers.1.mlp.experts",
            says="FLOAT, W8A8_DYNAMIC",
        ),
        Case(
            "the down-projections are in another scheme",
            made(mtp, requantize(r"layers\.1\.mlp\.experts\.\d\.down_proj", "W4A8_DYNAMIC")),
            made(mtp, requantize(r"layers\.1\.mlp\.shared_experts\.", "FLOAT")),
            where="model.layers.1.mlp.experts",
            says="W4A8_DYNAMIC, W8A8_DYNAMIC",
        ),
    ],
    "experts-missing": [
        Case(
            "one expert",
            made(moe, drop(r"layers\.1\.mlp\.experts\.3\.")),
            made(_float_experts, _fuse),
            where=None,
            says="has 7 experts, config.json says 8",
        ),
        Case(
            "all experts of a layer",
            made(moe, drop(r"layers\.1\.mlp\.experts\.")),
            made(mtp),  # its first layer is dense, as first_k_dense_replace says
            where=None,
            says="model.layers.1.mlp",
        ),
    ],
    "layers-missing": [
        Case(
            "the last layer",
            made(modelslim, drop(r"layers\.1\.")),
            made(modelslim, drop(r"layers\.1\."), configure(num_hidden_layers=1)),
            where="layers.1",
            says="1 of 2 layers",
        )
    ],
    "embedding": [
        Case(
            "not there",
            made(mtp, drop(r"^model\.embed_tokens")),
            made(mtp, drop(r"layers\.2\.embed_tokens")),  # the MTP layer's own copy
            where="embed_tokens.weight",
        ),
        Case(
            "of another size",
            made(vision, _vocabulary(100)),
            made(vision, _vision_first, arrange(shards=20)),
            where="model.language_model.embed_tokens.weight",
            says="[96, 64], vocab_size is 100",
        ),
        Case(
            "without the rows that the family adds",
            made(floating, _llama_vision(96)),
            made(floating, _llama_vision(104)),
            where="model.embed_tokens.weight",
            says="[96, 64], vocab_size is 96, which asks for 104 rows",
        ),
    ],
    "lm-head": [
        Case(
            "not there",
            made(floating, drop("^lm_head")),
            made(floating, drop("^lm_head"), configure(tie_word_embeddings=True)),
            where="lm_head.weight",
        )
    ],
}
