"""Tensors' bytes as numpy arrays, read in blocks of rows into memory that is used again.

Files are read, not mapped: pages of a mapping count as memory of the process, and a checkpoint of a
terabyte would fill it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quantizers.quality.coding.numbers import to_float32
from registry.checkpoint import Checkpoint, Tensor
from registry.checkpoint.data import data_offsets
from registry.errors import IncompatibleError, IntegrityError

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]
# How safetensors' types are held; numpy has no bfloat16 and no float of 8 bits, so bits stand in.
DTYPES: Mapping[str, npt.DTypeLike] = {
    "BOOL": np.uint8, "U8": np.uint8, "I8": np.int8, "I16": np.int16, "U16": np.uint16,
    "I32": np.int32, "U32": np.uint32, "I64": np.int64, "U64": np.uint64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64, "BF16": np.uint16,
    "F8_E4M3": np.uint8, "F8_E5M2": np.uint8, "F8_E8M0": np.uint8,
    "F8_E4M3FNUZ": np.uint8, "F8_E5M2FNUZ": np.uint8,
}  # fmt: skip


class Workspace(threading.local):
    """Arrays that each thread uses again and again; fresh ones cost more than what fills them."""

    def __init__(self) -> None:
        self._arrays: dict[str, Stored] = {}

    def take(self, use: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Stored:
        """An array for a use, its content undefined; the one taken before for that use is lost."""
        needed = prod(shape) * np.dtype(dtype).itemsize
        buffer = self._arrays.get(use)
        if buffer is None or buffer.nbytes < needed:
            buffer = self._arrays[use] = np.empty(needed, np.uint8)
        array: Stored = buffer[:needed].view(dtype).reshape(shape)
        return array


class TensorData:
    """Reads the tensors of a checkpoint on this machine; may be used from several threads.

    Args:
        checkpoint: whole, in a folder.

    Raises:
        IncompatibleError: it is not on this machine.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        if checkpoint.folder is None:
            raise IncompatibleError(
                f"{checkpoint.label} is not on this machine", remedy="Pull it; weights are read."
            )
        self._folder: Path = checkpoint.folder
        self._offsets = data_offsets(checkpoint)
        self._files: dict[str, int] = {}
        self._lock = threading.Lock()
        self.tensors = checkpoint.tensors

    def close(self) -> None:
        """Close the shards."""
        while self._files:
            os.close(self._files.popitem()[1])

    def rows(
        self, tensor: Tensor, first: int, count: int, workspace: Workspace, use: str
    ) -> Stored:
        """Some rows of a tensor as they are stored, `[count, elements of a row]`.

        Args:
            tensor: of any shape; all but its last dimension count as rows.
            first: the first row.
            count: how many.
            workspace: where they are put.
            use: the name of the place there.
        """
        width = tensor.shape[-1] if tensor.shape else 1
        array = workspace.take(use, (count, width), DTYPES[tensor.dtype])
        row = array.nbytes // count if count else 0
        self._read(tensor, self._offsets[tensor.name] + first * row, array)
        return array

    def ahead(self, tensor: Tensor, first: int, count: int) -> None:
        """Let the system fetch some rows while others are worked on."""
        row = tensor.size // max(1, tensor.elements // (tensor.shape[-1] if tensor.shape else 1))
        offset = self._offsets[tensor.name] + first * row
        os.posix_fadvise(self._file(tensor.shard), offset, count * row, os.POSIX_FADV_WILLNEED)

    def whole(self, name: str) -> Stored:
        """A small tensor as it is stored."""
        tensor = self.tensors[name]
        array: Stored = np.empty(tensor.shape, DTYPES[tensor.dtype])
        self._read(tensor, self._offsets[name], array)
        return array

    def floats(self, name: str) -> Floats:
        """A small tensor of floats in any format, as float32."""
        return to_float32(self.whole(name), self.tensors[name].dtype)

    def _read(self, tensor: Tensor, offset: int, array: Stored) -> None:
        view = array.reshape(-1).view(np.uint8).data
        file, done = self._file(tensor.shard), 0
        while done < len(view):
            count = os.preadv(file, [view[done:]], offset + done)
            if not count:
                raise IntegrityError(f"{tensor.shard} ends inside of {tensor.name}")
            done += count

    def _file(self, shard: str) -> int:
        with self._lock:
            if shard not in self._files:
                self._files[shard] = os.open(self._folder / shard, os.O_RDONLY)
            return self._files[shard]
