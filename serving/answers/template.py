"""What a chat template lets a request switch."""

from __future__ import annotations

import json
import re
from pathlib import Path

_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
_LARGEST = 16 * 2**20  # bytes; a tokenizer_config.json that lists its tokens has one or two MB
# Variables of templates that turn thinking off where they are false: Qwen3, GLM, Hunyuan, Kimi;
# DeepSeek V3.1 and later, Granite.
_SWITCHES = ("enable_thinking", "thinking")


def quiet_switches(folder: str) -> dict[str, bool]:
    """The `chat_template_kwargs` that turn a model's thinking off; empty if it has no switch.

    Args:
        folder: of the model. Templates in it are read as text, never run.
    """
    texts = [_text(Path(folder) / name) for name in _FILES]
    texts += [_text(path) for path in sorted(Path(folder).glob("chat_templates/*.jinja"))]
    return {
        name: False
        for name in _SWITCHES
        if any(re.search(rf"{{[^}}]*\b{name}\b", text) for text in texts)
    }


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST:
            return ""
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    if path.suffix != ".json":
        return text
    try:
        found = json.loads(text).get("chat_template")
    except (ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else json.dumps(found) if found else ""
