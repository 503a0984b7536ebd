"""Finding the base model's weights for a layer, whatever way either side stores its experts."""

from __future__ import annotations

import re
from dataclasses import replace

from quantizers.quality.coding.catalogue import coded_weight, float_weight
from quantizers.quality.coding.coded import Coded, Unreadable
from quantizers.quality.tensors import TensorData
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization.layers import Layer

_EXPERT = re.compile(r"(.*\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj)")
# transformers 5's fused experts: which part of the rows is whose.
_FUSED = {
    "gate_proj": ("gate_up_proj", 0, 2),
    "up_proj": ("gate_up_proj", 1, 2),
    "down_proj": ("down_proj", 0, 1),
}


class BaseWeights:
    """Looks up the base's weights by the names of layers.

    Args:
        facts: of the base, which may itself be quantized, as DeepSeek's are.
        data: reads its tensors.
    """

    def __init__(self, facts: Facts, data: TensorData) -> None:
        self._facts, self._data = facts, data
        self._layers = {layer.module: layer for layer in facts.quantization.layers}

    def of(self, layer: Layer, shape: tuple[int, int]) -> Coded | Unreadable:
        """The base's weights of a layer.

        Args:
            layer: of the quantized checkpoint.
            shape: rows and columns of its values.
        """
        found = self._find(layer, shape)
        if isinstance(found, Coded) and found.shape != shape:
            return Unreadable(f"it is {list(shape)}, and the base's {list(found.shape)}")
        return found

    def _find(self, layer: Layer, shape: tuple[int, int]) -> Coded | Unreadable:
        own = self._layers.get(layer.module)
        if own is not None:
            return coded_weight(own, self._facts, self._data)
        fused = self._fused_expert(layer.module, shape)
        if fused is not None:
            return fused
        if layer.component == "lm_head" and self._facts.checkpoint.text_config.get(
            "tie_word_embeddings"
        ):
            embedding = next(
                (t for n, t in self._data.tensors.items() if n.endswith("embed_tokens.weight")),
                None,
            )
            if embedding is not None:
                return float_weight(embedding)
        return Unreadable("the base has no such layer")

    def _fused_expert(self, module: str, shape: tuple[int, int]) -> Coded | Unreadable | None:
        match = _EXPERT.fullmatch(module)
        if match is None:
            return None
        parent, number, part = match.group(1), int(match.group(2)), match.group(3)
        leaf, which, parts = _FUSED[part]
        tensor = self._data.tensors.get(f"{parent}.{leaf}")
        if tensor is None or len(tensor.shape) != 3:
            return None
        rows, columns = shape
        if tensor.shape[1:] != (parts * rows, columns) or number >= tensor.shape[0]:
            return Unreadable(f"the base holds its experts as {list(tensor.shape)}")
        whole = float_weight(tensor)
        if isinstance(whole, Unreadable):
            return whole
        return replace(whole, shape=shape, first=(number * parts + which) * rows)
