"""Layers for multi-token prediction."""

from __future__ import annotations

from tests.lint_cases import made, moe, mtp, vision
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import configure, drop, requantize, undescribe
from tests.registry.lint.cases.deepseek_v4 import deepseek_v4

_LAYER = "model.layers.2"
CASES = {
    "mtp-missing": [
        Case(
            "DeepSeek's layer beyond the last",
            made(mtp, drop(r"layers\.2\.")),
            made(moe, configure(use_mtp=False, num_mtp_modules=3)),  # MiniMax M2 says so
            "warning",
            "mtp",
            "announces 1 MTP layer",
        ),
        Case(
            "Qwen3.5's own weights",
            made(vision, drop(r"^mtp\.")),
            made(vision, drop(r"^model\.visual")),
            "warning",
            "mtp",
            "announces 1 MTP layer",
        ),
        Case(
            "one of two",
            made(mtp, configure(num_nextn_predict_layers=2)),
            made(deepseek_v4, configure(num_nextn_predict_layers=1)),
            "warning",
            "mtp",
            "announces 2 MTP layers, the shards hold 1",
        ),
    ],
    "mtp-incomplete": [
        Case(
            "its experts are gone",
            made(mtp, drop(r"layers\.2\.mlp\.experts\.")),
            made(mtp, drop(r"layers\.2\.shared_head\.head")),  # which is the model's own
            "warning",
            f"{_LAYER}.mlp.experts",
        ),
        Case(
            "its shared experts are gone",
            made(mtp, drop(r"layers\.2\.mlp\.shared_experts")),
            made(mtp, requantize(r"layers\.2\.mlp\.shared_experts", "FLOAT")),
            "warning",
            f"{_LAYER}.mlp.shared_experts",
        ),
        Case(
            "what joins state and embedding is gone",
            made(mtp, drop(r"layers\.2\.enorm")),
            made(deepseek_v4),  # e_proj and h_proj in place of eh_proj
            "warning",
            f"{_LAYER}.enorm.weight",
        ),
        Case(
            "Qwen3.5's own lacks a part of attention",
            made(vision, drop(r"^mtp\.layers\.0\.self_attn\.o_proj")),
            made(vision),  # linear attention in the layers before, full attention here
            "warning",
            "mtp.layers.0.self_attn.o_proj",
        ),
        Case(
            "DeepSeek V4's own lacks its router",
            made(deepseek_v4, drop(r"^mtp\.0\.ffn\.gate\.weight")),
            made(deepseek_v4),
            "warning",
            "mtp.0.ffn.gate",
        ),
    ],
    "mtp-undescribed": [
        Case(
            "a layer that was added after quantization",
            made(mtp, undescribe(r"layers\.2\.")),
            made(mtp, requantize(r"layers\.2\.", "FLOAT")),
            where="model.layers.2.eh_proj.weight",
            says="MTP weights",
        )
    ],
    "mtp-surplus": [
        Case(
            "config.json says nothing of it",
            made(mtp, configure(num_nextn_predict_layers=0)),
            made(mtp),
            "info",
            None,
            "announces no MTP layer",
        )
    ],
}
