"""A checkout of the kind that ModelSlim's repository is, for tests of scripts."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.quantized import TEXTS

EXAMPLE = Path(__file__).parent / "example"
SCRIPT = "example/Qwen3-MOE/quant_qwen_moe_w8a8.py"
ANTI, CALIBRATION = "qwen3-moe_anti_prompt_50.json", "qwen3-moe_calib_prompt_50.json"


def make_checkout(folder: Path, *, sets: bool = True) -> Path:
    """Make a repository with the script, its helpers and its sets, all committed; its script.

    Args:
        folder: a new one.
        sets: whether the script's own sets are there.
    """
    shutil.copytree(EXAMPLE, folder / "example", ignore=shutil.ignore_patterns("__pycache__"))
    if sets:
        common = folder / "example" / "common"
        (common / ANTI).write_text(json.dumps(TEXTS[:6], indent=2), encoding="utf-8")
        (common / CALIBRATION).write_text(json.dumps(TEXTS, indent=2), encoding="utf-8")
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    for words in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "all")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder / SCRIPT


def content_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a checkout with its bytes and its time, git's own files, too."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
