"""Texts that act on a terminal, an artifact that is full of them, and what a reader may see."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from unicodedata import category

from registry.describe import describe_folder
from tests.checkpoints import CONFIG, INT8_CONFIG, quantized_tensors, write_model

# Writes the clipboard; clears the screen; a style of no style of ours; the same by C1; turns the
# writing around; takes the line back; markup of rich, a link, an emoji's code.
NASTY = (
    "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[35;7m\x9b2J\x9d0;evil\x9c\u202elive\u2069\u200f\r\x7f\x00"
    "\u2028\u2029\u200b\ufeff[bold red]loud[/] [link=https://evil.example]here[/link] :bomb:"
)
ESCAPED = r"\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[35;7m\x9b2J"
# Styles, and how bars are drawn: the cursor hidden and shown, up a line, a line emptied.
_OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[1A|\x1b\[2K|\r")
_KEPT = "\n\u200c\u200d"


def evil(folder: Path) -> Path:
    """An artifact whose every text is hostile, as far as it can be read at all."""
    config: dict[str, Any] = {
        **CONFIG,
        "model_type": f"qwen3{NASTY}",
        "architectures": [NASTY],
        "rope_scaling": {"rope_type": NASTY, "factor": 2.0},
        "quantization_config": {**INT8_CONFIG, "format": NASTY, "ignore": ["lm_head", NASTY]},
        NASTY: NASTY,
    }
    write_model(folder, quantized_tensors(), config)
    (folder / "chat_template.jinja").write_text(NASTY)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": NASTY, "tokenizer_class": NASTY, "model_max_length": NASTY})
    )
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": NASTY}))
    (folder / "[bold red]loud :bomb:.txt").write_text("x")
    return claiming(folder)


def claiming(folder: Path, **provenance: Any) -> Path:
    """Write a qreg.json of a folder that claims what an attacker wants."""
    digest = "sha256:" + "ab" * 32
    manifest = describe_folder(folder, name="org/\u202e[bold]evil").to_json()
    manifest["provenance"] = provenance or {
        "base": {"name": NASTY, "digest": NASTY},
        "tool": {"name": NASTY, "version": NASTY},
        "recipe": {"name": NASTY, "text": NASTY},
        "derived_from": {"name": NASTY, "digest": digest, "by": NASTY},
        "quality": {NASTY: 99.9, "digest": 1.0, "sqnr_db": 99.9},
        NASTY: NASTY,
    }
    manifest["evidence"] = [{"kind": NASTY, "answer": NASTY}]
    manifest[NASTY] = NASTY
    manifest["quantization"]["scheme"] = NASTY
    manifest["footprint"][NASTY] = NASTY
    (folder / "qreg.json").write_text(json.dumps(manifest))
    return folder


def acting(text: str) -> list[str]:
    """Characters of an output that a terminal would act on, or a reader not see."""
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [char for char in text if category(char) in hidden and char not in _KEPT]


def acting_on_a_terminal(text: str) -> list[str]:
    """The same of what a terminal got, but for our own colours and bars."""
    return acting(_OURS.sub("", text)) + re.findall(r"\x1b\[35;7m", text)
