"""A checkpoint as its metadata: config.json, the quantization description, all tensors' headers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from registry.checkpoint.safetensors import Tensor, read_header
from registry.errors import IntegrityError, NotFoundError
from registry.folder import list_files, require_folder
from registry.names import check_path

CONFIG = "config.json"
MAX_JSON = 512 * 2**20  # bytes; the description of a 1 TB model has about 30 MB


class Source(Protocol):
    """Where a checkpoint's bytes come from: a folder here, or a store's ranged reads."""

    @property
    def label(self) -> str:
        """How to name it in a message."""

    def files(self) -> Mapping[str, int]:
        """Sizes in bytes by POSIX path."""

    def read(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` of a file."""


class LocalSource:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = require_folder(folder)

    @property
    def label(self) -> str:
        return str(self.folder)

    def files(self) -> Mapping[str, int]:
        return list_files(self.folder, follow_outside=True)

    def read(self, path: str, offset: int, length: int) -> bytes:
        with (self.folder / path).open("rb") as file:
            file.seek(offset)
            return file.read(length)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint's metadata says.

    Attributes:
        label: where it was read from, for messages.
        files: sizes in bytes by path, of all files.
        config: config.json.
        tensors: every tensor by name.
        description: ModelSlim's `quant_model_description*.json`, or None.
    """

    label: str
    files: Mapping[str, int]
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any] | None = None

    @cached_property
    def shards(self) -> tuple[str, ...]:
        """The safetensors files that hold the weights."""
        return tuple(sorted({tensor.shard for tensor in self.tensors.values()}))

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())


def open_checkpoint(source: Path | Source) -> Checkpoint:
    """Read a checkpoint's metadata and check that its files belong together.

    Raises:
        NotFoundError: no such folder, an empty one, no config.json, no weights, or an index that
            names a shard that is not there.
        IntegrityError: JSON or a shard is damaged, or index and shards contradict each other.
    """
    if isinstance(source, Path):
        source = LocalSource(source)
    files = source.files()
    if not files:
        raise NotFoundError(f"{source.label} is empty", remedy="Give the folder of a model.")
    if CONFIG not in files:
        raise NotFoundError(
            f"{source.label} has no {CONFIG}",
            remedy="Give the folder that holds config.json and the *.safetensors files; a "
            "single weights file or a training checkpoint is not enough.",
        )
    config = _read_json(source, files, CONFIG)
    descriptions = sorted(
        path
        for path in files
        if path.startswith("quant_model_description") and path.endswith(".json")
    )
    return Checkpoint(
        label=source.label,
        files=files,
        config=config,
        tensors=_read_tensors(source, files),
        description=_read_json(source, files, descriptions[0]) if descriptions else None,
    )


def _read_tensors(source: Source, files: Mapping[str, int]) -> dict[str, Tensor]:
    index_files = sorted(p for p in files if p.endswith(".safetensors.index.json") and "/" not in p)
    indexed: dict[str, str] = {}
    for path in index_files:
        weight_map = _read_json(source, files, path).get("weight_map")
        if not isinstance(weight_map, dict) or not all(
            isinstance(shard, str) for shard in weight_map.values()
        ):
            raise IntegrityError(f"{path} of {source.label} has no weight_map")
        indexed.update(weight_map)
    missing = sorted({check_path(shard) for shard in indexed.values()} - files.keys())
    if missing:
        raise NotFoundError(
            f"The index of {source.label} names {missing[0]!r}, which is not there"
            + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""),
            remedy="Copy or download the missing files; the model is incomplete.",
        )
    shards = sorted(
        set(indexed.values()) or {p for p in files if p.endswith(".safetensors") and "/" not in p}
    )
    if not shards:
        raise NotFoundError(
            f"{source.label} has no *.safetensors files",
            remedy="qreg reads weights in safetensors format only; pickled weights are never "
            "loaded. Convert them with the tools of the model's framework.",
        )

    def read(shard: str) -> tuple[Tensor, ...]:
        return read_header(shard, files[shard], lambda at, n: source.read(shard, at, n))

    with ThreadPoolExecutor(max_workers=min(len(shards), 4 * (os.cpu_count() or 1))) as pool:
        headers = list(pool.map(read, shards))
    tensors: dict[str, Tensor] = {}
    for header in headers:
        for tensor in header:
            if tensor.name in tensors:
                raise IntegrityError(
                    f"{tensor.name} is in {tensors[tensor.name].shard} and in {tensor.shard}",
                    remedy="Remove the shards that do not belong to this model.",
                )
            tensors[tensor.name] = tensor
    for name, shard in indexed.items():
        if name not in tensors or tensors[name].shard != shard:
            raise IntegrityError(
                f"The index of {source.label} puts {name} into {shard}, which does not hold it",
                remedy="Index and shards are of different models or runs; copy both again.",
            )
    return tensors


def _read_json(source: Source, files: Mapping[str, int], path: str) -> dict[str, Any]:
    if files[path] > MAX_JSON:
        raise IntegrityError(f"{path} of {source.label} is {files[path]} bytes of JSON: too large")
    try:
        value = json.loads(source.read(path, 0, files[path]))
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"{path} of {source.label} is not JSON: {error}",
            remedy="Copy or download this file again.",
        ) from error
    if not isinstance(value, dict):
        raise IntegrityError(
            f"{path} of {source.label} is not a JSON object",
            remedy="Copy or download this file again.",
        )
    return value
