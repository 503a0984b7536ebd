"""config.json, and the files beside the weights that serving needs."""

from __future__ import annotations

from typing import Any

from tests.lint_cases import Change, Model, compressed, floating, made, modelslim, moe
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import (
    arrange,
    configure,
    put,
    remove,
    requantize,
)

_FP8: dict[str, Any] = {
    "quant_method": "fp8",
    "activation_scheme": "dynamic",
    "fmt": "e4m3",
    "weight_block_size": [128, 128],
}
_MINDIE = {"group_size": 0, "kv_quant_type": None, "reduce_quant_type": None}
_TEMPLATE = {"chat_template": "{{ messages }}"}
_TOKENIZER = {"auto_map": {"AutoTokenizer": ["tokenization_novel.NovelTokenizer", None]}}


def _as_text(**values: Any) -> Change:
    """Make it a composite model: what config.json said is its language model's."""

    def change(model: Model) -> None:
        names = model.config["architectures"]
        model.config = {"architectures": names, "text_config": model.config, **values}

    return change


def _in_text(settings: dict[str, Any]) -> Change:
    """A quantization_config in the language model's section."""
    return lambda model: model.config["text_config"].update(quantization_config=settings)


def _renamed_config(model: Model) -> None:
    """The key under which compressed-tensors once wrote its configuration."""
    model.config["compression_config"] = model.config.pop("quantization_config")


CASES = {
    "quantization-config-left": [
        Case(
            "the float model's FP8 settings",
            made(modelslim, configure(quantization_config=_FP8)),
            made(modelslim, configure(quantization_config=_MINDIE)),
            where="config.json",
            says="quantization_config of fp8",
        ),
        Case(
            "in the language model's section",
            made(modelslim, _as_text(model_type="qwen3_vl"), _in_text(_FP8)),
            made(modelslim, _as_text(model_type="qwen3_vl"), _in_text({"quant_method": "ascend"})),
            where="config.json",
            says="quantization_config of fp8",
        ),
        Case(
            "bitsandbytes' settings, which name no method",
            made(modelslim, configure(quantization_config={"load_in_4bit": True})),
            made(modelslim, configure(quantization_config={**_MINDIE, "load_in_4bit": False})),
            "warning",
            "config.json",
            "quantization_config with load_in_4bit",
        ),
    ],
    "quantization-unexplained": [
        Case(
            "ModelSlim's weights without the description",
            made(modelslim, arrange(description=None)),
            made(floating),
            where=None,
            says="Nothing says how",
        ),
        Case(
            "INT8 without quantization_config",
            made(compressed, configure(quantization_config=None)),
            made(compressed, _renamed_config),
            where=None,
            says="Nothing says how",
        ),
    ],
    "mostly-float": [
        Case(
            "all experts are float",
            made(moe, requantize(r"\.experts\.", "FLOAT")),
            made(moe, requantize("self_attn", "FLOAT")),
            "warning",
            None,
            "are float",
        )
    ],
    "architecture-unknown": [
        Case(
            "a new model type",
            made(floating, configure(model_type="novel")),
            made(floating, _as_text(model_type="novel_vl")),  # its language model is Qwen3
            "info",
            "",
            "'novel'",
        )
    ],
    "architectures": [
        Case(
            "left out",
            made(floating, configure(architectures=None)),
            made(floating, configure(architectures=["NovelForCausalLM"])),
            "warning",
            "config.json",
        )
    ],
    "tokenizer-missing": [
        Case(
            "settings of a tokenizer only",
            made(modelslim, remove("tokenizer.json")),
            made(modelslim, remove("tokenizer.json"), put("qwen.tiktoken", "")),
        ),
        Case(
            "a vocabulary without its merges",
            made(modelslim, remove("tokenizer.json"), put("vocab.json", {"a": 0})),
            made(
                modelslim,
                remove("tokenizer.json"),
                put("vocab.json", {"a": 0}),
                put("merges.txt", "#version: 0.2\n"),
            ),
            where="vocab.json",
            says="merges.txt",
        ),
        Case(
            "a vocabulary, and code that is for something else",
            made(
                modelslim,
                remove("tokenizer.json"),
                put("vocab.json", {"a": 0}),
                configure(auto_map={"AutoConfig": "configuration_novel.NovelConfig"}),
                put("configuration_novel.py", ""),
            ),
            made(
                modelslim,
                remove("tokenizer.json"),
                put("vocab.json", {"a": 0}),
                put("tokenizer_config.json", _TOKENIZER),
                put("tokenization_novel.py", ""),
            ),
            where="vocab.json",
        ),
    ],
    "chat-template-missing": [
        Case(
            "dropped by ModelSlim's v0",
            made(modelslim, remove("chat_template.jinja")),
            made(modelslim, remove("chat_template.jinja"), put("tokenizer_config.json", _TEMPLATE)),
            "warning",
        )
    ],
    "generation-config-missing": [
        Case(
            "not copied",
            made(modelslim, remove("generation_config.json")),
            made(modelslim, put("generation_config.json", "{}")),
            "info",
        )
    ],
}
