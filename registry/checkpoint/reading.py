"""Reading a checkpoint's metadata from a source, strictly or collecting what is wrong with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from registry.checkpoint.checkpoint import Checkpoint, Fault
from registry.checkpoint.documents import MAX_CONFIG, MAX_JSON, parse_document
from registry.checkpoint.safetensors import PREFIX, BrokenShard, Header, Tensor, read_header
from registry.errors import IntegrityError, NotFoundError, QregError
from registry.names import check_path
from registry.payload import is_payload
from registry.source import LocalSource, Source

CONFIG = "config.json"
# A header takes about this many bytes for a tensor, beside its name: one request brings it whole.
_BYTES_PER_TENSOR = 96
_FIRST_READ = 2**17  # bytes, where no index says how many tensors a shard has
_CONNECTIONS = 8
_TEXT = frozenset({str})
_OF_RANK = re.compile(r"model-rank-(\d{1,4})-part-\d{1,4}\.safetensors\Z")


def open_checkpoint(source: Path | Source) -> Checkpoint:
    """Read a checkpoint's metadata; anything wrong with it is raised.

    Raises:
        NotFoundError: no such folder, an empty one, no config.json, no weights, or an index that
            names a shard that is not there.
        IntegrityError: JSON or a shard is damaged, or index and shards contradict each other.
    """
    checkpoint = read_checkpoint(source)
    if not checkpoint.faults:
        return checkpoint
    error = checkpoint.faults[0].error
    try:
        raise error
    finally:
        # The error holds this frame and those of its callers, with all that they have in hand. If
        # the frame held the error, too, that would stay until a full garbage collection.
        del error, checkpoint


def read_checkpoint(source: Path | Source) -> Checkpoint:
    """Read what can be read of a checkpoint; what is wrong is in its `faults`.

    Raises:
        NotFoundError, UsageError: no such folder, or an empty one.
        TransferError, OSError: the bytes cannot be had.
    """
    if isinstance(source, Path):
        source = LocalSource(source)
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.entries = tuple(source.entries())
        self.files = {entry.path: entry.size for entry in self.entries if not entry.problem}
        self.early: dict[str, Future[bytes]] = {}
        self.faults = [
            Fault(
                "link" if entry.link is not None else "path",
                entry.path,
                IntegrityError(entry.problem, remedy="Remove it from the artifact."),
            )
            for entry in self.entries
            if entry.problem
        ]

    def read(self) -> Checkpoint:
        with ThreadPoolExecutor(max_workers=_CONNECTIONS) as pool:
            if self.source.folder is None:
                self._prefetch(pool)
            return self._read()

    def _prefetch(self, pool: ThreadPoolExecutor) -> None:
        """Begin to fetch what will be waited for, so that it comes while others are parsed."""
        for path in (CONFIG, *self._index_paths(), self._description_path()):
            if path in self.files and self.files[path] <= MAX_JSON:
                size = self.files[path]
                self.early[path] = pool.submit(self.source.read, path, 0, size)

    def _read(self) -> Checkpoint:
        label = self.source.label
        if not self.entries:
            raise NotFoundError(f"{label} is empty", remedy="Give the folder of a model.")
        config: Mapping[str, Any] = {}
        if CONFIG in self.files:
            config = self._json(CONFIG, "config")
        else:
            self._fault(
                "config",
                CONFIG,
                NotFoundError(
                    f"{label} has no {CONFIG}",
                    remedy="Give the folder that holds config.json and the *.safetensors files; a "
                    "single weights file or a training checkpoint is not enough.",
                ),
            )
        ranks = self._ranks()
        # Beside the shards of ranks an index is that of the model that they were made from.
        index_paths, weight_map, named = ((), {}, set()) if ranks else self._index()
        shards, unlisted = (sorted(ranks[0]), ()) if ranks else self._shards(named)
        headers = self._headers(shards, weight_map)
        tensors = self._merge(headers)
        unindexed = self._compare(weight_map, tensors, headers) if weight_map else ()
        description_path = self._description_path()
        return Checkpoint(
            label=label,
            entries=self.entries,
            config=config,
            tensors=tensors,
            header_sizes={shard: header.size for shard, header in headers.items()},
            description=self._json(description_path, "description") if description_path else None,
            description_path=description_path,
            index_paths=index_paths,
            unindexed=unindexed,
            unlisted=unlisted,
            faults=tuple(self.faults),
            folder=self.source.folder,
            ranks=len(ranks),
        )

    def _fault(self, kind: str, where: str, error: QregError, verdict: str = "") -> None:
        self.faults.append(Fault(kind, where, error, verdict))

    def _description_path(self) -> str | None:
        """The description that vLLM Ascend reads, or the older names of MindIE's format."""
        found = [
            path
            for path in self.files
            if path.startswith("quant_model_description")
            and path.endswith(".json")
            and "/" not in path
        ]
        return min(found, key=lambda path: (len(path), path), default=None)

    def _ranks(self) -> dict[int, list[str]]:
        """The shards of each rank, from rank 0 on, in the layout of vLLM's `sharded_state`."""
        found: dict[int, list[str]] = {}
        for path in self.files:
            match = _OF_RANK.match(path)
            if match:
                found.setdefault(int(match.group(1)), []).append(path)
        return dict(sorted(found.items())) if 0 in found else {}

    def _index_paths(self) -> tuple[str, ...]:
        return tuple(
            sorted(p for p in self.files if p.endswith(".safetensors.index.json") and "/" not in p)
        )

    def _index(self) -> tuple[tuple[str, ...], dict[str, str], set[str]]:
        """The index files, what they say together, and all shards that they name."""
        paths = self._index_paths()
        weight_map: dict[str, str] = {}
        named: set[str] = set()
        for path in paths:
            known = len(self.faults)
            found = self._json(path, "index").get("weight_map")
            if len(self.faults) > known:
                continue
            if not isinstance(found, dict) or not _TEXT.issuperset(map(type, found.values())):
                error = IntegrityError(
                    f"{path} of {self.source.label} has no weight_map",
                    remedy="Copy or download this file again.",
                )
                self._fault("index", path, error)
            elif stray := next((shard for shard in found.values() if not _is_shard(shard)), None):
                # A loader reads it, whatever it is called; the digest covers only the payload.
                error = IntegrityError(
                    f"{path} of {self.source.label} names a shard that is none: {stray[:200]!r}",
                    remedy="Shards end in .safetensors and lie in no hidden folder. Do not use "
                    "this artifact.",
                )
                self._fault("index", path, error)
            else:
                weight_map.update(found)
                named.update(found.values())
        return paths, weight_map, named

    def _shards(self, named: set[str]) -> tuple[list[str], tuple[str, ...]]:
        """The shards to read, and files beside them that no index names."""
        present = {p for p in self.files if p.endswith(".safetensors") and "/" not in p}
        # Mistral's own format lies beside the other one, under other tensor names.
        own = {p for p in present if not p.startswith("consolidated")} or present
        for shard in sorted(named):
            try:
                check_path(shard)
            except IntegrityError as error:
                self._fault("path", shard, error)
                named.discard(shard)
        missing = sorted(named - self.files.keys())
        if missing:
            absent = NotFoundError(
                f"The index of {self.source.label} names {missing[0]!r}, which is not there"
                + _and_more(missing),
                remedy="Copy or download the missing files; the model is incomplete.",
            )
            self._fault("index", missing[0], absent)
        # Engines know the index of this name alone; beside another they load every shard.
        if named & present and "model.safetensors.index.json" in self.files:
            return sorted(named & self.files.keys()), tuple(sorted(own - named))
        if not present:
            none = NotFoundError(
                f"{self.source.label} has no *.safetensors files",
                remedy="qreg reads weights in safetensors format only; pickled weights are never "
                "loaded. Convert them with the tools of the model's framework.",
            )
            self._fault("weights", "*.safetensors", none)
        return sorted(own | (named & present)), ()

    def _headers(self, shards: list[str], weight_map: Mapping[str, str]) -> dict[str, Header]:
        remote = self.source.folder is None
        expect = dict.fromkeys(shards, _FIRST_READ if remote else PREFIX)
        if remote and weight_map:
            each = sum(map(len, weight_map)) // len(weight_map) + _BYTES_PER_TENSOR
            counts = Counter(weight_map.values())
            expect = {shard: PREFIX + 256 + each * counts[shard] for shard in shards}

        def read(shard: str) -> Header | BrokenShard:
            try:
                return read_header(
                    shard,
                    self.files[shard],
                    lambda offset, length: self.source.read(shard, offset, length),
                    expect=expect[shard],
                )
            except BrokenShard as error:
                return error

        workers = _CONNECTIONS if remote else 1
        headers = {}
        with ThreadPoolExecutor(max_workers=max(1, min(len(shards), workers))) as pool:
            for shard, result in zip(shards, pool.map(read, shards), strict=True):
                if isinstance(result, Header):
                    headers[shard] = result
                else:
                    self._fault("shard", shard, result, result.verdict)
        return headers

    def _merge(self, headers: Mapping[str, Header]) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for header in headers.values():
            fresh = {tensor.name: tensor for tensor in header.tensors}
            if not tensors.keys().isdisjoint(fresh):
                twice = sorted(tensors.keys() & fresh.keys())
                error = IntegrityError(
                    f"{twice[0]} is in {tensors[twice[0]].shard} and in {fresh[twice[0]].shard}"
                    + _and_more(twice),
                    remedy="Remove the shards that do not belong to this model.",
                )
                self._fault("duplicate", twice[0], error)
            tensors.update(fresh)
        return tensors

    def _compare(
        self,
        weight_map: Mapping[str, str],
        tensors: Mapping[str, Tensor],
        headers: Mapping[str, Header],
    ) -> tuple[str, ...]:
        """Report what the index misplaces; return the tensors that it does not name."""
        if weight_map == {name: tensor.shard for name, tensor in tensors.items()}:
            return ()
        astray = [
            name
            for name, shard in weight_map.items()
            if shard in headers and (name not in tensors or tensors[name].shard != shard)
        ]
        if astray:
            error = IntegrityError(
                f"The index of {self.source.label} puts {astray[0][:200]} into "
                f"{weight_map[astray[0]]}, which does not hold it{_and_more(astray)}",
                remedy="Index and shards are of different models or runs; copy both again.",
            )
            self._fault("index", astray[0], error)
        return tuple(name for name in tensors if name not in weight_map)

    def _json(self, path: str, kind: str) -> dict[str, Any]:
        """A JSON object; empty, with a fault of that kind, if the file does not hold one."""
        size, label = self.files[path], self.source.label
        try:
            if size > (MAX_CONFIG if kind == "config" else MAX_JSON):
                raise IntegrityError(f"{path} of {label} is {size} bytes of JSON: too large")
            early = self.early.pop(path, None)
            raw = early.result() if early else self.source.read(path, 0, size)
            return parse_document(f"{path} of {label}", raw, flat=kind != "config")
        except IntegrityError as error:
            self._fault(kind, path, error)
            return {}


def _and_more(items: list[str]) -> str:
    return f" (and {len(items) - 1} more)" if len(items) > 1 else ""


def _is_shard(name: str) -> bool:
    """Whether a name in an index can be that of a shard whose bytes the digest covers.

    One that is not even safe has an error of its own.
    """
    try:
        check_path(name)
    except IntegrityError:
        return True
    return name.endswith(".safetensors") and is_payload(name)
