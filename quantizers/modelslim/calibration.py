"""Calibration sets in the shapes that ModelSlim and the scripts of its repository read.

`msmodelslim quant` reads JSON Lines with a field `inputs_pretokenized`, and JSON arrays of texts
(`infra/file_dataset_loader.py`, 26.1.0); a script reads the one or the other, and by suffix.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from quantizers.samples import ARRAY, LAYOUT, read_samples, shape_of
from registry.errors import UsageError

_FIELD = "inputs_pretokenized"
_MODE = 0o640  # ModelSlim's helpers refuse what the group may write


def write_calibration(source: Path, target: Path, shape: str) -> None:
    """Write a set in a shape that ModelSlim reads; what has it already is copied byte by byte.

    Args:
        source: a file of samples that are texts, see `quantizers.samples`.
        target: a new file.
        shape: `array` for a JSON array of texts, `lines` for JSON Lines.

    Raises:
        UsageError: a sample has no text.
    """
    samples = list(read_samples(source))
    for sample in samples:
        if sample.given is None:
            raise UsageError(
                f"{sample.where} holds no text that ModelSlim takes", remedy=f"{LAYOUT}."
            )
    taken = all(_as_read(sample.value, shape) for sample in samples)
    if taken and shape_of(source) == shape and _is_plain(source, shape):
        shutil.copyfile(source, target)
        target.chmod(_MODE)
        return
    texts = [sample.text for sample in samples]
    # In ASCII: a script opens it in the locale's encoding, and lone surrogates have no other form.
    with target.open("w", encoding="ascii") as out:
        if shape == ARRAY:
            json.dump(texts, out, indent=1)
        else:
            out.writelines(json.dumps({_FIELD: text}) + "\n" for text in texts)
    target.chmod(_MODE)


def _is_plain(source: Path, shape: str) -> bool:
    """Whether a parser takes the file as it is: no byte order mark, no empty line between lines."""
    with source.open("rb") as file:
        if file.read(3) == b"\xef\xbb\xbf":
            return False
        file.seek(0)
        return shape == ARRAY or all(line.strip() for line in file)


def _as_read(value: object, shape: str) -> bool:
    """Whether ModelSlim takes a sample's text from where it stands."""
    if shape == ARRAY:
        return isinstance(value, str)
    return isinstance(value, dict) and isinstance(value.get(_FIELD), str)
