"""A quantized model as one in floating point that computes what its format prescribes.

Weights are dequantized to float32, which holds them exactly; how activations are quantized is
written beside them, for the worker to carry out. So both quantizers' formats are measured the same
way, on any machine, and what is measured is the format, not a kernel.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from quantizers.quality.activations import Rule, input_rule, left_out
from quantizers.quality.coding.catalogue import coded_weight
from quantizers.quality.coding.coded import Coded, Unreadable
from quantizers.quality.tensors import TensorData, Workspace
from registry.checkpoint import Tensor
from registry.checkpoint.components import component_of, is_quantization_part
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization.layers import FLOAT, Layer
from registry.checkpoint.reading import CONFIG
from registry.checkpoint.writing import Planned, write_shard
from registry.errors import IncompatibleError
from registry.files import require_room
from registry.folder import list_files
from registry.progress import Observer, Progress, ignore

RULES = "simulation.json"  # {"inputs": {module: rule}}
BIASES = "biases"  # a folder beside the shards: tensors that models in floating point do not have
_STALE = (".safetensors", ".index.json")
_ROWS = 2**20  # values at a time
_ONLINE = ("kronecker_rotation_m", "heads_rotation", "left_trans", "mul_scale")


def simulate(
    facts: Facts,
    target: Path,
    *,
    tick: Callable[[], None] = lambda: None,
    observe: Observer = ignore,
) -> tuple[str, ...]:
    """Write a quantized checkpoint as one in floating point.

    Args:
        facts: of a checkpoint on this machine.
        target: a folder to fill; it takes four bytes a parameter.
        tick: is called between pieces of some MB; what it raises ends the work.
        observe: is told the bytes dequantized.

    Returns:
        What is quantized in the model and is left out here, such as its KV cache.

    Raises:
        IncompatibleError: a layer's weights or activations cannot be simulated.
        TransferError: too little disk.
    """
    checkpoint = facts.checkpoint
    assert checkpoint.folder is not None
    require_room(target, 4 * facts.footprint["parameters"], "The model in floating point")
    data = TensorData(checkpoint)
    try:
        layers = {la.tensor.name: la for la in facts.quantization.layers if la.scheme != FLOAT}
        coded, rules = _readings(facts, layers, data)
        target.mkdir(parents=True, exist_ok=True)
        # MindIE's format has norms a second time, as they were wrapped: `norm.module.weight`.
        twice = {n for n in data.tensors if n.replace(".module.", ".") in data.tensors.keys() - {n}}
        biases = _biases(facts, {layer.module for layer in layers.values()}) - twice
        done, total = 0, checkpoint.weight_bytes
        where: dict[str, str] = {}
        for shard in checkpoint.shards:
            kept = [
                t
                for t in checkpoint.tensors.values()
                if t.shard == shard
                and t.name not in biases | twice
                and (t.name in layers or not is_quantization_part(t.name))
            ]
            planned = [_planned(t, layers.get(t.name), coded.get(t.name)) for t in kept]
            write_shard(target / shard, planned, _with(tick, _pieces(kept, coded, data)))
            where.update((tensor.name, shard) for tensor in planned)
            done += sum(tensor.size for tensor in kept)
            observe(Progress("dequantizing", done, total, "bytes", shard))
        if biases:
            (target / BIASES).mkdir()
            added = [checkpoint.tensors[name] for name in sorted(biases)]
            write_shard(
                target / BIASES / "biases.safetensors",
                [Planned(t.name, t.dtype, t.shape) for t in added],
                _pieces(added, {}, data),
            )
    finally:
        data.close()
    _write_documents(facts, target, rules, where)
    return left_out(facts)


def _with(tick: Callable[[], None], pieces: Iterator[memoryview]) -> Iterator[memoryview]:
    for piece in pieces:
        tick()
        yield piece


def _readings(
    facts: Facts, layers: dict[str, Layer], data: TensorData
) -> tuple[dict[str, Coded], dict[str, Rule]]:
    """How weights are read and activations quantized; all that is not possible in one error."""
    coded: dict[str, Coded] = {}
    rules: dict[str, Rule] = {}
    reasons = {f"{name} is applied while the model runs" for name in data.tensors
               if name.rpartition(".")[2] in _ONLINE}  # fmt: skip
    for name, layer in layers.items():
        weight, rule = coded_weight(layer, facts, data), input_rule(layer, facts, data)
        for found in (weight, rule):
            if isinstance(found, Unreadable):
                reasons.add(found.reason)
        if isinstance(weight, Coded):
            coded[name] = weight
        if isinstance(rule, dict):
            rules[layer.module] = rule
    if reasons:
        listed = sorted(reasons)
        raise IncompatibleError(
            f"What {facts.checkpoint.label} predicts cannot be simulated: {listed[0]}",
            remedy="Leave perplexity and divergence out: --weights-only.",
            details="\n".join(listed[:20]),
        )
    return coded, rules


def _biases(facts: Facts, quantized: set[str]) -> set[str]:
    """Biases of quantized layers and of norms: smoothing adds them where models have none."""
    return {
        name
        for name in facts.checkpoint.tensors
        if name.endswith(".bias")
        and (name.removesuffix(".bias") in quantized or component_of(name) == "norm")
    }


def _planned(tensor: Tensor, layer: Layer | None, coded: Coded | None) -> Planned:
    if layer is None or coded is None:
        return Planned(tensor.name, tensor.dtype, tensor.shape)
    return Planned(f"{layer.module}.weight", "F32", coded.shape)


def _pieces(
    tensors: list[Tensor], coded: dict[str, Coded], data: TensorData
) -> Iterator[memoryview]:
    workspace = Workspace()
    for tensor in tensors:
        weight = coded.get(tensor.name)
        if weight is None:
            rows = tensor.elements // (tensor.shape[-1] if tensor.shape and tensor.elements else 1)
            step = max(1, _ROWS * rows // max(1, tensor.elements))
            for start in range(0, rows, step):
                array = data.rows(tensor, start, min(step, rows - start), workspace, "raw")
                yield array.reshape(-1).view(np.uint8).data
            continue
        (rows, columns), packed = weight.shape, weight.packed_rows
        step = max(packed, _ROWS // columns // packed * packed)
        read = weight.reader(data, workspace, "raw")
        for start in range(0, rows, step):
            count = min(step, rows - start)
            values = workspace.take("values", (count, columns), np.float32)
            weight.values(read(start, count), start, values)
            yield values.reshape(-1).view(np.uint8).data


def _write_documents(
    facts: Facts, target: Path, rules: dict[str, Rule], where: dict[str, str]
) -> None:
    """config.json without what makes loaders quantize, the rules, and links to all else."""
    checkpoint = facts.checkpoint
    assert checkpoint.folder is not None
    sections = ("quantization_config", "compression_config")
    config = {k: v for k, v in checkpoint.config.items() if k not in sections}
    if "lm_head.weight" in checkpoint.tensors or "lm_head.weight_packed" in checkpoint.tensors:
        config["tie_word_embeddings"] = False  # it has weights of its own
    (target / CONFIG).write_text(json.dumps(config, indent=2))
    (target / RULES).write_text(json.dumps({"inputs": rules}))
    # Loaders find shards by an index of this name alone.
    index = {"metadata": {}, "weight_map": where}
    (target / "model.safetensors.index.json").write_text(json.dumps(index))
    for path in list_files(checkpoint.folder, follow_outside=True):
        if "/" not in path and path != CONFIG and not path.endswith(_STALE):
            (target / path).symlink_to((checkpoint.folder / path).resolve())
