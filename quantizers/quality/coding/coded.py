"""A weight as it is stored, with all that it takes to get its values back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from registry.checkpoint import Tensor

if TYPE_CHECKING:
    from quantizers.quality.tensors import TensorData, Workspace

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]
Expand = Callable[[Stored, Floats], None]


@dataclass(frozen=True)
class Coded:
    """A stored matrix `[rows, columns]`; value = (code - offset) · scale (+ left · right).

    Attributes:
        tensor: what is stored.
        shape: rows and columns of the values.
        expand: puts the codes of some stored rows into float32 `[rows, columns]`.
        scale: float32, a row each `row_block` rows and a column each group of columns; None is 1.
        offset: of the same shape, or None.
        row_block: rows that share a row of scales.
        column_block: columns that share a column of scales, the last group being shorter; 0 where
            the groups are equal parts of the columns.
        order: the group of each column, where groups are not runs of columns.
        low_rank: `left [rows, r]` and `right [r, columns]`, added to the values.
        packed_rows: rows that share a stored row.
        first: the stored row at which it begins, for a part of a larger tensor.
        load: brings all stored rows, where what is stored has its columns as rows.
        rounding: whether its codes are evenly spaced, so that rounding to them has an expected
            error of a twelfth of the squared scale.
    """

    tensor: Tensor
    shape: tuple[int, int]
    expand: Expand
    scale: Floats | None = None
    offset: Floats | None = None
    row_block: int = 1
    column_block: int = 0
    order: npt.NDArray[np.int64] | None = None
    low_rank: tuple[Floats, Floats] | None = None
    packed_rows: int = 1
    first: int = 0
    load: Callable[[], Stored] | None = None
    rounding: bool = False

    @property
    def row_bytes(self) -> float:
        """Stored bytes a row of values."""
        if self.load is not None:
            return self.tensor.size / self.shape[0]
        stored_rows = self.tensor.elements // self.tensor.shape[-1]
        return self.tensor.size / stored_rows / self.packed_rows

    def reader(
        self, data: TensorData, workspace: Workspace, use: str
    ) -> Callable[[int, int], Stored]:
        """A function that reads what is stored of `count` rows from row `start` on.

        Args:
            data: of its checkpoint.
            workspace: where it is put.
            use: the name of the place there.
        """
        if self.load is not None:
            whole = self.load()
            return lambda start, count: whole[start : start + count]
        packed = self.packed_rows

        def read(start: int, count: int) -> Stored:
            first = self.first + start // packed
            return data.rows(self.tensor, first, count // packed, workspace, use)

        return read

    def ahead(self, data: TensorData, start: int, count: int) -> None:
        """Let the system fetch some rows while others are worked on."""
        if self.load is None:
            packed = self.packed_rows
            data.ahead(self.tensor, self.first + start // packed, count // packed)

    def values(self, stored: Stored, start: int, out: Floats) -> None:
        """The values of some rows.

        Args:
            stored: the stored rows that hold them.
            start: the first row, a multiple of `packed_rows`.
            out: float32 `[count, columns]`, contiguous; overwritten.
        """
        self.expand(stored, out)
        count = len(out)
        if self.offset is not None:
            self._apply(np.subtract, self.offset, start, count, out)
        if self.scale is not None:
            self._apply(np.multiply, self.scale, start, count, out)
        if self.low_rank is not None:
            left, right = self.low_rank
            out += left[start : start + count] @ right

    def _apply(self, operation: Any, factors: Floats, start: int, count: int, out: Floats) -> None:
        if len(factors) > 1:
            if self.row_block > 1:
                factors = factors[np.arange(start, start + count) // self.row_block]
            else:
                factors = factors[start : start + count]
        groups = factors.shape[1]
        if groups == 1:
            operation(out, factors, out=out)
        elif self.order is not None:
            operation(out, factors[:, self.order], out=out)
        elif self.column_block:
            wide = np.repeat(factors, self.column_block, axis=1)[:, : self.shape[1]]
            operation(out, wide, out=out)
        else:
            grouped = out.reshape(count, groups, -1)
            operation(grouped, factors[:, :, None], out=grouped)


@dataclass(frozen=True)
class Unreadable:
    """A weight whose values cannot be had, and why."""

    reason: str
