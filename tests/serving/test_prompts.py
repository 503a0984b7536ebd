"""Prompts in files, in each form that people have them in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from registry.config import Settings
from registry.errors import NotFoundError, UsageError
from serving.generate import generate, sampling
from serving.prompts import read_prompts
from tests.serving.render.plans import ONE_NODE

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    ("name", "content", "prompts"),
    [
        ("p.txt", "Hello, my name is\n\n  The future\r\n", ["Hello, my name is", "  The future"]),
        ("p.txt", "\ufeffone\u2028still one", ["one\u2028still one"]),
        ("p.txt", "{not JSON}\n[1]\n", ["{not JSON}", "[1]"]),
        ("p", json.dumps(["a", {"prompt": "b\nc"}, {"messages": CHAT}]), ["a", "b\nc", CHAT]),
        ("p.json", json.dumps(["a"], indent=2), ["a"]),
        ("p.jsonl", '{"prompt": "a"}\n"b"\n\n' + json.dumps({"messages": CHAT}), ["a", "b", CHAT]),
        ("p.jsonl", '{"prompt": "a", "id": 7}', ["a"]),
        ("p.txt", '{"prompt": "a"}\n{"prompt": "b"}', ["a", "b"]),
    ],
)  # fmt: skip
def test_forms(name: str, content: str, prompts: list[object], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert read_prompts(path) == prompts


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b'{"prompt": "a"}\n{"prompt": 7}', "line 2 is no prompt"),
        (b'{"prompt": "a"}\nno JSON', "line 2 is no prompt"),
        (b'[{"messages": [{"content": "x"}]}]', "entry 1 is no prompt"),
        (b'[""]', "entry 1 is no prompt"),
        (b"\n \n", "holds no prompts"),
        (b"[]", "holds no prompts"),
        (b"\xff\xfe", "cannot be read as UTF-8"),
    ],
)
def test_what_is_no_prompt(content: bytes, where: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=where) as caught:
        read_prompts(path)
    assert "a prompt a line" in caught.value.remedy


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        read_prompts(tmp_path / "p.txt")


def test_only_what_was_asked_reaches_the_sampling() -> None:
    assert sampling(64, 0.0) == {"max_tokens": 64, "temperature": 0.0}
    guide = {"max_tokens": 16, "temperature": 0.6, "top_p": 0.95, "top_k": 40}
    assert sampling(16, 0.6, 0.95, 40) == guide


def test_a_conversation_needs_a_template(settings: Settings) -> None:
    with pytest.raises(UsageError, match="raw text is asked for"):
        generate(ONE_NODE, [CHAT], settings, raw=True)
    with pytest.raises(UsageError, match="has no chat template"):
        generate(replace(ONE_NODE, chat=False), ["a", CHAT], settings)
    with pytest.raises(UsageError, match="no prompt"):
        generate(ONE_NODE, [], settings)
