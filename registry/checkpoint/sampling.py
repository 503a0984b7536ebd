"""Outlining a very large checkpoint from some of its shards and parts of its description.

The metadata of a model of a terabyte are sixty megabytes, nearly all of it the same few dozen lines
again for each layer and expert. So the headers of a few neighbouring shards are read, at the
beginning, in the middle and at the end; config.json tells how often each kind of tensor occurs; and
the sum must agree with the sizes of the files. Where it does not, everything is read.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from registry.checkpoint.architecture import Architecture, layer_kinds, read_architecture
from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.components import kind_of, layer_of
from registry.checkpoint.documents import MAX_CONFIG, parse_document
from registry.checkpoint.facts import Facts, read_facts
from registry.checkpoint.outline import Outline, outline_of
from registry.checkpoint.quantization.modelslim import KEYS, STANDARD_NAME
from registry.checkpoint.reading import CONFIG, open_checkpoint
from registry.checkpoint.safetensors import BrokenShard, Tensor, read_header
from registry.source import Source

LARGE = 4 * 2**20  # bytes of index or description from which on a sample is read
TOLERANCE = 0.005  # of the sum of the files' sizes
_WINDOW = 2**19  # bytes of the description that are read at once
_WINDOWS = 5
_MOST_SHARDS = 40
_FIRST_READ = 2**17  # bytes of a shard
_CONNECTIONS = 8
_NUMBERED = re.compile(r".+-\d{5}-of-\d{5,6}\.safetensors\Z")
_PAIR = re.compile(r'"([^"\\]{1,1000})"\s*:\s*("[^"\\]{0,100}"|\d{1,9}|true|false|null)')
_FEED_FORWARD = re.compile(r"\.(mlp|block_sparse_moe|feed_forward|ffn|moe)\.")
_EXPERT = re.compile(r"\.experts\.\d+\.")


def read_outline(source: Source) -> Outline:
    """Outline a checkpoint, reading as little as is sure to be enough.

    Raises:
        NotFoundError, IntegrityError: it is no whole checkpoint.
        TransferError, OSError: the bytes cannot be had.
    """
    return _sampled(source) or outline_of(read_facts(open_checkpoint(source)))


def _sampled(source: Source) -> Outline | None:
    """An outline from some shards; None for what is small, or unlike what config.json says."""
    entries = tuple(source.entries())
    if any(entry.problem for entry in entries):
        return None
    files = {entry.path: entry.size for entry in entries}
    shards = sorted(path for path in files if _NUMBERED.match(path) and "/" not in path)
    whole = {path for path in files if path.endswith(".safetensors") and "/" not in path}
    index = [p for p in files if p.endswith(".safetensors.index.json") and "/" not in p]
    description = STANDARD_NAME if STANDARD_NAME in files else None
    metadata = max((files[p] for p in (*index, *([description] if description else ()))), default=0)
    if CONFIG not in files or whole != set(shards) or not index or metadata < LARGE:
        return None
    if _is_gapped(shards) or not 0 < files[CONFIG] <= MAX_CONFIG:
        return None
    raw = source.read(CONFIG, 0, files[CONFIG])
    config = parse_document(f"{CONFIG} of {source.label}", raw, flat=False)
    architecture = read_architecture(config)
    if not architecture.layers or (architecture.is_moe and architecture.moe_layers is None):
        return None
    chosen = _chosen(shards, architecture)
    if len(chosen) > _MOST_SHARDS:
        return None
    with ThreadPoolExecutor(max_workers=_CONNECTIONS) as pool:
        windows = pool.map(
            lambda offset: source.read(str(description), offset, _WINDOW),
            _offsets(files[description]) if description else (),
        )
        try:
            read = pool.map(lambda shard: _header(source, shard, files[shard]), chosen)
            headers = dict(zip(chosen, read, strict=True))
        except BrokenShard:
            return None  # told in full by whoever reads all of it
        told = _pairs(windows)
    tensors = {tensor.name: tensor for found, _ in headers.values() for tensor in found}
    described = _described_by_kind(tensors, told, architecture.layers) if description else None
    if described is None and description:
        return None
    checkpoint = Checkpoint(
        label=source.label,
        entries=entries,
        config=config,
        tensors=tensors,
        header_sizes={shard: size for shard, (_, size) in headers.items()},
        description=described,
        description_path=description,
        folder=source.folder,
    )
    facts = read_facts(checkpoint)
    outline = outline_of(facts, _Times(facts))
    header = sum(size for _, size in headers.values()) / len(headers)
    expected = sum(files[shard] - header for shard in shards)
    if abs(outline.weight_bytes - expected) > TOLERANCE * expected:
        return None
    return replace(outline, shards=len(shards), shards_read=len(headers))


def _is_gapped(shards: list[str]) -> bool:
    """Whether shards are missing from the numbering."""
    return bool(shards) and len(shards) != int(shards[-1].rpartition("-of-")[2].split(".")[0])


def _chosen(shards: list[str], architecture: Architecture) -> list[str]:
    """Neighbouring shards that hold whole layers of every kind that config.json tells of."""
    count, layers = len(shards), architecture.layers or 1
    a_layer = count / layers
    dense = layers - (architecture.moe_layers or 0) if architecture.is_moe else 0
    mixed = 5 if len(architecture.layer_types) > 1 else 1
    first = round(a_layer * min(dense, 4) + a_layer * mixed) + 2
    middle = round(a_layer * mixed) + 2
    last = round(a_layer * (1 + (architecture.mtp_layers or 0))) + 2
    start = max(first, (count - middle) // 2)
    numbers = {*range(first), *range(start, start + middle), *range(count - last, count)}
    return [shards[number] for number in sorted(numbers) if 0 <= number < count]


def _offsets(size: int) -> list[int]:
    """Where the windows into the description begin: evenly, from the start to the end."""
    if size <= _WINDOWS * _WINDOW:
        return list(range(0, size, _WINDOW))
    step = (size - _WINDOW) / (_WINDOWS - 1)
    return [round(step * number) for number in range(_WINDOWS)]


def _header(source: Source, shard: str, size: int) -> tuple[tuple[Tensor, ...], int]:
    header = read_header(
        shard, size, lambda offset, length: source.read(shard, offset, length), expect=_FIRST_READ
    )
    return header.tensors, header.size


def _pairs(windows: Iterable[bytes]) -> dict[str, Any]:
    """The plain entries of the description that lie whole in one of the windows."""
    found: dict[str, Any] = {}
    for window in windows:
        text = window.decode("utf-8", errors="replace")
        found.update((name, json.loads(value)) for name, value in _PAIR.findall(text))
    return found


def _described_by_kind(
    names: Iterable[str], told: Mapping[str, Any], layers: int
) -> dict[str, Any] | None:
    """A description of some tensors: they are as all others of their kind that are told of.

    Returns:
        None where a kind is not told of, or has several types: then all of it must be read.
    """
    types: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for name, value in told.items():
        if isinstance(value, str) and name not in KEYS:
            types[_group(name, layers)].add(value)
    described: dict[str, Any] = {key: told[key] for key in KEYS & told.keys()}
    for name in names:
        alike = types.get(_group(name, layers), set())
        if len(alike) != 1:
            return None
        described[name] = next(iter(alike))
    return described


class _Times:
    """How many tensors there are for each one that was read."""

    def __init__(self, facts: Facts) -> None:
        self.architecture = facts.architecture
        self.facts = facts
        self.layers = facts.architecture.layers or 0
        self.types = layer_kinds(facts.checkpoint.config, facts.architecture.layers)
        seen: dict[tuple[str, bool], list[str]] = defaultdict(list)
        self.with_experts = set()
        for name in facts.checkpoint.tensors:
            seen[_group(name, self.layers)].append(name)
            if _EXPERT.search(name) or name.endswith(("gate_up_proj", "experts.down_proj")):
                self.with_experts.add(_stack(name))
        self.known = {group: self._total(*group, names) for group, names in seen.items()}

    def __call__(self, name: str) -> float:
        return self.known[_group(name, self.layers)]

    def _total(self, kind: str, in_decoder: bool, names: list[str]) -> float:
        is_expert = _EXPERT.search(names[0]) is not None
        each = (self.architecture.experts or 1) if is_expert else 1
        if not in_decoder:
            total = _outside(self.facts, names, is_expert)
        elif _FEED_FORWARD.search(kind) and self.architecture.is_moe:
            total = self._feed_forward(names)
        else:
            among = {self.types[n] for n in map(_number, names) if n < len(self.types)}
            counts = Counter(self.types)
            told = bool(among) and None not in among
            total = sum(counts[kind] for kind in among) if told else self.layers
        return total * each / len(names)

    def _feed_forward(self, names: list[str]) -> int:
        sparse = {_stack(name) in self.with_experts for name in names}
        moe = self.architecture.moe_layers or 0
        return (moe if True in sparse else 0) + (self.layers - moe if False in sparse else 0)


def _outside(facts: Facts, names: list[str], is_expert: bool) -> int:
    """How often a kind occurs that is in no decoder layer: MTP, vision blocks, single tensors."""
    if is_expert or ".layers." in names[0]:
        return facts.architecture.mtp_layers or len({_stack(name) for name in names})
    if len(names) == 1:
        return 1
    numbers = [int(found) for name in names for found in re.findall(r"\.(\d{1,6})\.", name)]
    vision = facts.checkpoint.config.get("vision_config")
    depth = vision.get("depth") if isinstance(vision, Mapping) else None
    if type(depth) is int and numbers and max(numbers) < depth and ".blocks." in names[0]:
        return depth
    return max(len(names), max(numbers, default=0) + 1)


def _number(name: str) -> int:
    number = layer_of(name)
    return -1 if number is None else number


def _group(name: str, layers: int) -> tuple[str, bool]:
    """The kind, and whether it is in a decoder layer; MTP layers bear the same names."""
    number = layer_of(name)
    return kind_of(name), number is not None and number < layers


def _stack(name: str) -> tuple[str, int | None]:
    """The layer that a tensor is in."""
    return name.partition("layers.")[0], layer_of(name)
