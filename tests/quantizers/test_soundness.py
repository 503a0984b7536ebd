"""Numbers that are none, and tensors that are not those of another checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quantizers.comparison import tensor_changes
from quantizers.soundness import unsound_tensors
from quantizers.unchanged import compare_float_tensors
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.progress import ignore
from tests.checkpoints import CONFIG, FLOAT, LAYER, write_model

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
_TYPES = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int64": "I64", "int8": "I8"}


def _checkpoint(folder: Path, tensors: dict[str, tuple[Array, str]]) -> Checkpoint:
    """A checkpoint of these numbers; the text is a safetensors dtype, empty for the array's own."""
    write_model(folder)
    header, data = {}, b""
    for name, (array, dtype) in tensors.items():
        end = len(data) + array.nbytes
        kind = dtype or _TYPES[array.dtype.name]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [len(data), end]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + data
    (folder / "model.safetensors").write_bytes(content)
    return open_checkpoint(folder)


def _f32(*values: float) -> tuple[Array, str]:
    return np.array(values, np.float32), ""


SCALE = f"{LAYER}.mlp.up_proj.weight_scale"
DEQ = f"{LAYER}.mlp.up_proj.deq_scale"
WEIGHT = f"{LAYER}.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (WEIGHT, _f32(1, -2, 0), ""),
        (WEIGHT, _f32(1, float("nan")), "infinities or what is no number"),
        (WEIGHT, _f32(1, float("-inf")), "infinities or what is no number"),
        (WEIGHT, (np.array([0x3F80, 0x7F80], np.uint16), "BF16"), "infinities"),
        (WEIGHT, (np.array([0x3F80, 0xFF7F], np.uint16), "BF16"), ""),
        (WEIGHT, (np.array([1, np.inf], np.float16), ""), "infinities"),
        (WEIGHT, (np.array([0x7E, 0xFE], np.uint8), "F8_E4M3"), ""),
        (WEIGHT, (np.array([0x7E, 0xFF], np.uint8), "F8_E4M3"), "infinities"),
        (WEIGHT, (np.array([0x7B, 0x7C], np.uint8), "F8_E5M2"), "infinities"),
        (WEIGHT, (np.array([-128, 127], np.int8), "I8"), ""),
        (SCALE, _f32(1e-8, 2), ""),
        (SCALE, _f32(1, 0), "not positive"),
        (SCALE, _f32(1, -1), "not positive"),
        (SCALE, (np.array([0x3F80, 0xBF80], np.uint16), "BF16"), "not positive"),
        (SCALE, (np.array([1, 255], np.uint8), "F8_E8M0"), "infinities"),
        (DEQ, (np.array([0.5, 2], np.float32).view(np.uint32).astype(np.int64), "I64"), ""),
        (
            DEQ,
            (np.array([0.5, -2], np.float32).view(np.uint32).astype(np.int64), "I64"),
            "not positive",
        ),
    ],
)
def test_numbers(tmp_path: Path, name: str, value: tuple[Array, str], problem: str) -> None:
    found = unsound_tensors(_checkpoint(tmp_path, {name: value}), ignore)
    if problem:
        assert len(found) == 1 and found[0].startswith(f"{name}: ") and problem in found[0]
    else:
        assert found == []


def test_what_changed_is_named(tmp_path: Path) -> None:
    before = _checkpoint(tmp_path / "a", {"x": _f32(1, 2), "y": _f32(3), "z": _f32(4)})
    after = _checkpoint(tmp_path / "b", {"x": _f32(1, 3), "y": _f32(3), "w": _f32(4)})
    alike, changes = tensor_changes(before, after, ignore)
    assert alike == 1
    assert {c.name: c.what for c in changes} == {
        "w": "is new",
        "x": "has other bytes",
        "z": "is not there any more",
    }


def test_which_base_it_was(tmp_path: Path) -> None:
    base = open_checkpoint(write_model(tmp_path / "base"))
    made = dict(FLOAT)
    made[f"{LAYER}.mlp.up_proj.weight"] = ("I8", [16, 8])
    same = open_checkpoint(write_model(tmp_path / "same", FLOAT, CONFIG))
    assert compare_float_tensors(base, same, ignore).proves
    other = open_checkpoint(write_model(tmp_path / "other", FLOAT, CONFIG, seed=9))
    found = compare_float_tensors(base, other, ignore)
    assert not found.proves and found.unchanged == 0 and len(found.changed) == found.shared
    less = open_checkpoint(write_model(tmp_path / "less", made))
    assert compare_float_tensors(base, less, ignore).shared == len(FLOAT) - 1
