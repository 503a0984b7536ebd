"""Writing a twin: real JSON, real headers, holes in place of the data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from registry.checkpoint.safetensors import DTYPE_BITS
from tests.twins.architectures import ARCHITECTURES
from tests.twins.modules import parts_of
from tests.twins.schemes import SCHEMES, stored

SHARD = 4 * 2**30  # bytes; ModelSlim's part_file_size is 4
_Tensors = dict[str, tuple[str, tuple[int, ...]]]


def write_twin(
    folder: Path,
    model: str,
    scheme: str,
    *,
    shard_size: int = SHARD,
    shard_name: str = "",
) -> Path:
    """Write the twin of a model in a scheme.

    Args:
        folder: new or empty.
        model: a key of ARCHITECTURES.
        scheme: a key of SCHEMES.
        shard_size: bytes of data that a shard holds at most.
        shard_name: prefix of the shards; by default the one that the scheme's tool gives.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = SCHEMES[scheme]
    config = {**ARCHITECTURES[model], **recipe.config}
    prefix = shard_name or recipe.shard_name
    described: dict[str, Any] = {}
    shards: list[_Tensors] = [{}]
    filled = total = 0
    for name, dtype, shape, kind in _tensors(config, scheme):
        size = prod(shape) * DTYPE_BITS[dtype] // 8
        if shards[-1] and filled + size >= shard_size:
            shards.append({})
            filled = 0
        shards[-1][name] = (dtype, shape)
        described[name] = kind
        filled += size
        total += size
    weight_map = {}
    for number, tensors in enumerate(shards, 1):
        shard = f"{prefix}-{number:05d}-of-{len(shards):05d}.safetensors"
        weight_map.update(dict.fromkeys(tensors, shard))
        write_sparse_shard(folder / shard, tensors)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    index_path = folder / f"{prefix}.safetensors.index.json"
    index_path.write_text(json.dumps(index, indent=2))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    if recipe.description:
        path = folder / "quant_model_description.json"
        path.write_text(json.dumps({**described, **recipe.keys}, indent=4))
    _write_side_files(folder)
    return folder


def write_sparse_shard(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """A safetensors file with a real header, laid out as the safetensors crate does it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    # The crate sorts by alignment, largest first, then by name.
    for name in sorted(tensors, key=lambda name: (-DTYPE_BITS[tensors[name][0]], name)):
        dtype, shape = tensors[name]
        size = prod(shape) * DTYPE_BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def _tensors(
    config: Mapping[str, Any], scheme: str
) -> Iterator[tuple[str, str, tuple[int, ...], str]]:
    recipe = SCHEMES[scheme]
    for part in parts_of(config):
        if not part.linear:
            yield part.name, part.dtype, part.shape, "FLOAT"
            continue
        kind = recipe.scheme_of(part)
        for suffix, dtype, shape in stored(part, kind):
            yield f"{part.name}.{suffix}", dtype, shape, kind


def _write_side_files(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "generation_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
