"""What is done with LLM-Compressor beside the recipe: how samples become tokens, and shards.

It decides bytes of the result and stands in no recipe. So it is recorded with every artifact, and
`qreg reproduce` does what the record says, also where the usual way is another one by now.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from registry.errors import IncompatibleError

_SIZE = re.compile(r"[1-9][0-9]{0,5}[KMGT]i?B\Z")
_LARGEST_SEED = 2**32 - 1  # numpy's


@dataclass(frozen=True)
class Procedure:
    """How the worker calls LLM-Compressor.

    Attributes:
        seed: of torch, before the model is loaded and again before the work.
        shuffle_seed: the seed that `datasets` shuffles the chosen samples with; None: as they come.
        draws_order: whether LLM-Compressor draws the order of samples from that seed, as it does
            unless told otherwise; else the longest come first. Sums in another order may differ in
            their last bits.
        second_bos: whether the tokenizer adds its special tokens to a text that has them already:
            a chat that went through the template, or a text that begins with the BOS token.
        max_shard_size: of the result's files, as transformers takes it.
    """

    seed: int
    shuffle_seed: int | None
    draws_order: bool
    second_bos: bool
    max_shard_size: str

    def to_json(self) -> dict[str, Any]:
        """For the job and for provenance."""
        return asdict(self)


# As in vLLM Ascend's quantization guide: the first N rows, `shuffle(seed=42)`,
# `add_special_tokens=False` after the chat template, `max_shard_size="5GB"`.
USUAL = Procedure(
    seed=42, shuffle_seed=42, draws_order=True, second_bos=False, max_shard_size="5GB"
)
# What qreg did before it kept a record of it; 50 GB are the default of transformers 5.
UNRECORDED = Procedure(
    seed=42, shuffle_seed=None, draws_order=False, second_bos=True, max_shard_size="50GB"
)


def read_procedure(table: Mapping[str, Any]) -> Procedure:
    """A recorded procedure; `UNRECORDED` for an empty record.

    Raises:
        IncompatibleError: a value is none that qreg writes.
    """
    if not table:
        return UNRECORDED
    seed, shuffle = table.get("seed"), table.get("shuffle_seed")
    size = table.get("max_shard_size")
    sound = (
        table.keys() == USUAL.to_json().keys()
        and _is_seed(seed)
        and (shuffle is None or _is_seed(shuffle))
        and isinstance(table["draws_order"], bool)
        and isinstance(table["second_bos"], bool)
        and isinstance(size, str)
        and _SIZE.match(size)
    )
    if not sound:
        raise IncompatibleError(
            f"The recorded procedure cannot be followed: {str(dict(table))[:200]!r}",
            remedy="It is of a newer qreg, or was altered. Quantize the base again.",
        )
    return Procedure(**table)


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_SEED
