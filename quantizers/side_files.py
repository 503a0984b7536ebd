"""The small files beside the weights: quantizers drop some of them, loaders want all of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from registry.folder import list_files

_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".py", ".tiktoken")
_OF_THE_WEIGHTS = ("config.json", "qreg.json")
_LARGEST = 64 * 2**20  # bytes; nothing that describes a model is larger


def complete_side_files(source: Path, output: Path) -> list[str]:
    """Copy tokenizer, template, generation and code files that the tool left out; fix modes.

    Args:
        source: the float model.
        output: what the tool wrote; its own files are kept as they are.

    Returns:
        The paths that were copied.
    """
    copied = missing_side_files(source, output)
    for path in copied:
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, output / path)
    for path in list_files(output):
        (output / path).chmod(0o644)
    return copied


def missing_side_files(source: Path, output: Path) -> list[str]:
    """The small files of a source that are not in an output and belong there, sorted."""
    present = list_files(output)
    missing = []
    for path, size in list_files(source, follow_outside=True).items():
        name = path.rpartition("/")[2]
        wanted = name.endswith(_SUFFIXES) or name.startswith("LICENSE")
        index = name.endswith(".index.json") or name.startswith("quant_model_description")
        if path in present or not wanted or index or name in _OF_THE_WEIGHTS or size > _LARGEST:
            continue
        missing.append(path)
    return sorted(missing)
