"""Tokenizers that transformers 5 saved, which the transformers of most adapters cannot load.

transformers 5 names its backend in `tokenizer_config.json`, as the tokenizer's class
(`TokenizersBackend`, `tokenization_utils_tokenizers.py` of 5.17); 4.x knows no such class.
ModelSlim works with 5.4 for dense models; mixtures of experts keep their experts in floating point
there, without an error.
"""

from __future__ import annotations

import json
from pathlib import Path

from quantizers.modelslim.families import ModelKind
from registry.checkpoint import Checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.documents import MAX_CONFIG
from registry.errors import IncompatibleError

NEWEST = "modelslim-5.4"
_FILE = "tokenizer_config.json"
_CLASSES = ("TokenizersBackend", "SentencePieceBackend", "PythonBackend", "MistralCommonBackend")


def tokenizer_class(folder: Path | None) -> str:
    """The class that a folder's tokenizer is said to be; empty where nothing says it."""
    try:
        path = (folder or Path()) / _FILE
        if folder is None or path.stat().st_size > MAX_CONFIG:
            return ""
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    found = value.get("tokenizer_class") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def toolchain_for_tokenizer(checkpoint: Checkpoint, kind: ModelKind) -> str:
    """The toolchain that can load a model's tokenizer, too; the adapter's own where that can."""
    if not _is_too_new(checkpoint, kind.toolchain) or _has_experts(checkpoint):
        return kind.toolchain
    return NEWEST


def check_tokenizer(checkpoint: Checkpoint, toolchain: str) -> None:
    """Refuse a tokenizer that a toolchain's transformers cannot load; raises IncompatibleError."""
    if not _is_too_new(checkpoint, toolchain):
        return
    found = tokenizer_class(checkpoint.folder)
    why = ""
    if _has_experts(checkpoint):
        why = f" With {NEWEST} ModelSlim would leave this model's experts in floating point."
    raise IncompatibleError(
        f"The tokenizer of {checkpoint.label} was saved by transformers 5 ({found}), which "
        f"toolchain {toolchain} does not know.{why}",
        remedy=f"In a copy of the model, set tokenizer_class in {_FILE} to the class of the "
        "original model, or to PreTrainedTokenizerFast; tokenizer.json stays as it is.",
    )


def _is_too_new(checkpoint: Checkpoint, toolchain: str) -> bool:
    newer = toolchain.startswith("modelslim-5")
    return not newer and tokenizer_class(checkpoint.folder) in _CLASSES


def _has_experts(checkpoint: Checkpoint) -> bool:
    return bool(read_architecture(checkpoint.config).experts)
