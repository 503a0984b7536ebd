"""Model folders of JSON alone: what the configuration of a launch reads, and no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Tokens that vLLM 0.23.0's parsers of reasoning and tools look for in a tokenizer.
_SPECIAL = (
    "<unk>", "<s>", "</s>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_calls>",
    "</tool_calls>", "<tool_response>", "</tool_response>", "<|im_start|>", "<|im_end|>",
    "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>",
    "<|tool_call_end|>", "<|tool_call_argument_begin|>", "<minimax:tool_call>",
    "</minimax:tool_call>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
)  # fmt: skip


def write_folder(
    folder: Path, config: Mapping[str, Any], description: Mapping[str, Any] | None = None
) -> Path:
    """Write a folder that launches can be configured from.

    Args:
        folder: is made where it does not exist.
        config: config.json.
        description: ModelSlim's quant_model_description.json; None for other artifacts.

    Returns:
        The folder. It has a tokenizer of bytes with the special tokens that parsers ask for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.json", config)
    if description is not None:
        _write(folder / "quant_model_description.json", description)
    added = [
        {
            "id": number, "content": token, "special": True, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False,
        }
        for number, token in enumerate(_SPECIAL)
    ]  # fmt: skip
    vocabulary = {token: number for number, token in enumerate(_SPECIAL)}
    for code in range(33, 127):
        vocabulary.setdefault(chr(code), len(vocabulary))
    _write(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {
                "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                "use_regex": True,
            },
            "post_processor": None,
            "decoder": {
                "type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                "use_regex": True,
            },
            "model": {
                "type": "BPE", "dropout": None, "unk_token": "<unk>",
                "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary, "merges": [],
            },
        },
    )  # fmt: skip
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "model_max_length": 1_000_000,
        },
    )
    return folder


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
