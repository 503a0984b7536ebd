"""The sizes that config.json gives: against the weights, and against the ranks."""

from __future__ import annotations

from registry.lint import CHIPS, Target
from tests.lint_cases import Change, Model, compressed, floating, made, modelslim, moe, mtp, vision
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import configure, microscaled, requantize

_LAYER = "model.layers.0"


def _in_text(**values: object) -> Change:
    return lambda model: model.config["text_config"].update(values)


def _sparse(model: Model) -> None:
    """Half of the columns and a bitmask, as compressed-tensors stores 2:4 sparsity."""
    for name in model.parts:
        dtype, (rows, columns) = model.tensors[f"{name}.weight"]
        if name != "lm_head":
            bits = {
                "weight": (dtype, (rows, columns // 2)),
                "bitmask": ("U8", (rows, columns // 8)),
            }
            model.replace(name, bits, "FLOAT")


def _ranks(number: int) -> Target:
    return Target(CHIPS["A3"], number)


CASES = {
    "layer-sizes": [
        Case(
            "other heads",
            made(modelslim, configure(num_key_value_heads=4)),
            made(modelslim),
            where=f"{_LAYER}.self_attn.k_proj.weight",
            says="[32, 64] does not fit num_key_value_heads × head_dim: 4 × 16",
        ),
        Case(
            "another size of heads",
            made(floating, configure(head_dim=32)),
            made(floating, _sparse),
            where=f"{_LAYER}.self_attn.k_proj.weight",
            says="2 × 32",
        ),
        Case(
            "another size of the feed-forward part",
            made(compressed, configure(intermediate_size=256)),
            # Two weights a byte: what is stored has another shape.
            made(modelslim, requantize(r"\.mlp\.", "W4A8_DYNAMIC")),
            where=f"{_LAYER}.mlp.down_proj.weight",
            says="[64, 128] does not fit intermediate_size: 256",
        ),
        Case(
            "another size of the experts",
            made(moe, configure(moe_intermediate_size=64)),
            made(moe, configure(intermediate_size=4096)),  # of dense layers, of which it has none
            where=f"{_LAYER}.mlp.experts.0.down_proj.weight",
            says="moe_intermediate_size: 64",
        ),
        Case(
            "more shared experts",
            made(mtp, configure(n_shared_experts=2)),
            made(mtp),
            where="model.layers.1.mlp.shared_experts.down_proj.weight",
            says="number of shared experts: 64",
        ),
        Case(
            "another rank of latent attention",
            made(mtp, configure(kv_lora_rank=32)),
            made(mtp, configure(head_dim=64)),  # of no meaning there
            where=f"{_LAYER}.self_attn.kv_a_proj_with_mqa.weight",
            says="[24, 64] does not fit kv_lora_rank + qk_rope_head_dim: 40",
        ),
        Case(
            "other heads of latent attention",
            made(mtp, configure(num_attention_heads=8)),
            made(mtp),
            where=f"{_LAYER}.self_attn.kv_b_proj.weight",
            says="8 × 16",
        ),
        Case(
            "Qwen3.5's, whose queries have gates beside them",
            made(vision, _in_text(head_dim=32)),
            made(vision),
            where="model.language_model.layers.1.self_attn.k_proj.weight",
            says="2 × 32",
        ),
        Case(
            "floats of 8 bits",
            made(modelslim, microscaled(32), configure(num_attention_heads=8)),
            made(modelslim, microscaled(32)),
            where=f"{_LAYER}.self_attn.o_proj.weight",
            says="8 × 16",
        ),
    ],
    "tensor-parallel-heads": [
        Case(
            "heads that three ranks cannot share",
            made(modelslim),
            made(modelslim),
            where="config.json",
            says="4 attention heads cannot be shared by 3 ranks",
            target=_ranks(3),
            sound_target=_ranks(2),
            not_fixed_by="8",
        ),
        Case(
            "KV heads, of which some ranks would hold a part",
            made(floating, configure(num_attention_heads=12, num_key_value_heads=3)),
            # Each KV head is held by two ranks.
            made(floating),
            where="config.json",
            says="3 KV heads cannot be shared by 4 ranks",
            target=_ranks(4),
        ),
    ],
}
