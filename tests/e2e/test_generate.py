"""Generating offline with the real engine: raw text, conversations, and the sampling asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import USER, Run
from tests.quantized import quantized

pytestmark = pytest.mark.e2e

ARGUMENTS = ("--max-model-len", "256", "--max-num-seqs", "4", "--enforce-eager")


def test_raw_text_is_what_the_template_would_have_made(qreg: Run, tmp_path: Path) -> None:
    """The chat template of these models writes each turn as below (tests/workers/float_models)."""
    folder = quantized("llmcompressor-int8", USER)
    asked = "What is a digest?"
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": asked}]
    first = f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
    second = f"<|im_start|>system\nBe brief.<|im_end|>\n{first}"
    chats, texts = tmp_path / "chats.jsonl", tmp_path / "texts.json"
    rows = [{"prompt": asked}, {"messages": system}]
    chats.write_text("\n".join(map(json.dumps, rows)))
    texts.write_text(json.dumps([first, second, asked, "x " * 60]))
    chat = qreg(
        "generate", folder, "--prompts", chats, "--max-tokens", 8, "--json", "--", *ARGUMENTS
    )
    assert chat.code == 0, chat.err
    raw = qreg(
        *("generate", folder, "--raw", "--prompts", texts, "--max-tokens", 8, "--json"),
        *("--top-k", 40, "--", *ARGUMENTS),
    )
    assert raw.code == 0, raw.err
    answers = [generation["answer"] for generation in chat.json["generations"]]
    plain = [generation["answer"] for generation in raw.json["generations"]]
    assert answers == plain[:2] and len(plain) == 4
    assert plain[2] != plain[0]  # without the template it is another text
    assert [generation["prompt"] for generation in chat.json["generations"]] == [asked, system]
    assert "change nothing" in raw.err  # top-k at temperature 0
    sampled = qreg(
        *("generate", folder, "--raw", "--prompt", "The future of AI is", "--temperature", 0.6),
        *("--top-p", 0.95, "--top-k", 40, "--json", "--", *ARGUMENTS),
    )
    assert sampled.code == 0 and "change nothing" not in sampled.err, sampled.err
    assert sampled.json["generations"][0]["tokens"] > 0
