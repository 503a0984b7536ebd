"""Artifacts from a fuzzer's bytes: a mode, a seed, a slot, and then what the mode makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tests.fuzz.memory import MemorySource
from tests.fuzz.mutation import Choices, dumped, mutate
from tests.fuzz.seeds import DESCRIPTION, INDEX, MANIFEST, PRACTICE, SEEDS, SHARD, Files

# Files whose whole content an input can be.
SLOTS = (
    "config.json", INDEX, DESCRIPTION, "tokenizer_config.json", "generation_config.json", MANIFEST,
    PRACTICE, "special_tokens_map.json", "quant_model_description_w8a8.json",
    "model-00003-of-00002.safetensors", "consolidated.safetensors", "tokenizer.json",
)  # fmt: skip
SEPARATOR = b"\n%%\n"
_PREFIX = 3  # bytes: mode, seed, slot
MAX_DATA = 2**16  # bytes that a made-up shard holds beside its header


def artifact(data: bytes) -> MemorySource:
    """The artifact that some bytes stand for; any bytes stand for one."""
    mode, seed, slot = data[:_PREFIX].ljust(_PREFIX, b"\0")
    files = dict(_seed(seed % len(SEEDS)))
    content = data[_PREFIX:]
    sizes = MODES[mode % len(MODES)](files, slot, content) or {}
    links = sizes if slot & 2 else ()
    return MemorySource(files, local=bool(slot & 0x80), sizes=sizes, links=links)


def corpus() -> Iterator[bytes]:
    """Inputs to start from: every file of every seed, in each mode that can hold it."""
    for number, make in enumerate(SEEDS.values()):
        files = make()
        for path, content in files.items():
            if path in SLOTS:
                yield bytes((_mode(_whole_file), number, SLOTS.index(path))) + content
            elif path.endswith(".safetensors"):
                length = int.from_bytes(content[:8], "little")
                header = content[8 : 8 + length]
                yield bytes((_mode(_header), number, 0)) + header
                yield bytes((_mode(_shard), number, 0x80)) + content
        yield bytes((_mode(_combination), number, 0)) + SEPARATOR.join(
            bytes((SLOTS.index(path),)) + content
            for path, content in files.items()
            if path in SLOTS and path != MANIFEST
        )
        yield bytes((_mode(_mutations), number, 0)) + bytes(range(1, 40))
        if SHARD in files:  # the same tensors in two shards
            slot = SLOTS.index("model-00003-of-00002.safetensors")
            yield bytes((_mode(_whole_file), number, slot)) + files[SHARD]
    for name in ("../x", "a/b.safetensors", "model-00001-of-00003.safetensors", "x.bin\nX.bin"):
        yield bytes((_mode(_listing), 0, 0x83)) + name.encode()


def words() -> list[bytes]:
    """A dictionary for the fuzzer: all keys and short texts of the seeds."""
    found: set[bytes] = {b'"re:', b"\\ud800", b"\\u001b", b"null", b"true", b"NaN", b"1e999"}
    for make in SEEDS.values():
        for path, content in make().items():
            if path.endswith(".json") and path != MANIFEST:
                found.update(f'"{text}"'.encode() for text in _texts(json.loads(content)))
    found.update(b'"%s"' % name for name in (b"W8A16", b"W4A4_MXFP4", b"NF4", b"sliding_window"))
    return sorted(word for word in found if len(word) < 64)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


@cache
def _seed(number: int) -> Files:
    return list(SEEDS.values())[number]()


def _shard(files: Files, slot: int, content: bytes) -> None:
    files[SHARD] = content


def _header(files: Files, slot: int, content: bytes) -> None:
    """A header with as much data behind it as it asks for."""
    files[SHARD] = with_data(content)


def with_data(header: bytes) -> bytes:
    """A shard of a header's text, with the data that it needs where that is not too much."""
    need = 0
    try:
        for entry in json.loads(header).values():
            end = entry.get("data_offsets", [0, 0])[1]
            if type(end) is int and need < end <= MAX_DATA:
                need = end
    except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
        pass
    return len(header).to_bytes(8, "little") + header + bytes(need)


def _whole_file(files: Files, slot: int, content: bytes) -> None:
    files[SLOTS[(slot & 0x7F) % len(SLOTS)]] = content


def _combination(files: Files, slot: int, content: bytes) -> None:
    for part in content.split(SEPARATOR)[:8]:
        _whole_file(files, part[0] if part else 0, part[1:])


def _mutations(files: Files, slot: int, content: bytes) -> None:
    """Up to eight changes of the seed's JSON files and headers."""
    choices = Choices(content)
    paths = [path for path in files if path.endswith((".json", ".safetensors"))]
    for _ in range(1 + slot % 8):
        if not choices.left:
            return
        mutate_file(files, paths[choices.below(len(paths))], choices)


def mutate_file(files: Files, path: str, choices: Choices) -> None:
    """Change the JSON of a file, or of a shard's header, at one place."""
    content = files[path]
    is_shard = path.endswith(".safetensors")
    length = int.from_bytes(content[:8], "little") if is_shard else 0
    try:
        value = json.loads(content[8 : 8 + length] if is_shard else content)
    except (ValueError, RecursionError):
        return
    text = dumped(mutate(value, choices))
    files[path] = with_data(text) if is_shard else text


def _listing(files: Files, slot: int, content: bytes) -> dict[str, int]:
    """Names of files; each claims a size that its content may not have."""
    sizes = {}
    for name in content.decode("utf-8", "surrogateescape").split("\n")[:40]:
        files.setdefault(name, content[:64])
        sizes[name] = slot * 7 if slot & 1 else len(files[name])
    return sizes


Mode = Callable[[Files, int, bytes], dict[str, int] | None]
MODES: tuple[Mode, ...] = (
    _shard, _header, _whole_file, _combination, _mutations, _listing,
)  # fmt: skip


def _mode(wanted: Mode) -> int:
    return MODES.index(wanted)
