"""Artifacts that once broke a reader, or cost it far more than they weigh; found by fuzzing.

python -m tests.fuzz.regressions NAME    examines one of COSTLY, in little memory
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping
from typing import Any

from registry.artifact import payload_digest
from tests.checkpoints import CONFIG, INT8_CONFIG
from tests.fuzz.invariants import examine
from tests.fuzz.memory import MemorySource
from tests.fuzz.seeds import (
    ATTENTION,
    DESCRIPTION,
    FEED_FORWARD,
    INDEX,
    MANIFEST,
    PRACTICE,
    SEEDS,
    SHARD,
    Files,
    json_bytes,
    shard_of,
)

Make = Callable[[], Files]


def _with(seed: str, **changes: bytes) -> Make:
    return lambda: {**SEEDS[seed](), **{_PATHS.get(key, key): v for key, v in changes.items()}}


_PATHS = {
    "config": "config.json", "index": INDEX, "description": DESCRIPTION, "manifest": MANIFEST,
    "practice": PRACTICE, "shard": SHARD,
}  # fmt: skip


def _config(**settings: Any) -> bytes:
    return json_bytes({**CONFIG, **settings})


def _quantized(**settings: Any) -> bytes:
    return _config(quantization_config={**INT8_CONFIG, **settings})


def _group(**settings: Any) -> bytes:
    return _quantized(config_groups={"group_0": settings})


def _manifest(**sections: Any) -> bytes:
    digest = str(payload_digest(()))
    return json_bytes({"schema_version": 1, "digest": digest, "files": [], **sections})


def _deep(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def _unsigned(kind: str) -> Make:
    """A ModelSlim artifact whose layer has bytes of another type than its scheme expects."""
    name = f"{FEED_FORWARD}.weight"
    shard = shard_of({name: ("U8", [8, 8])})
    return _with("float", description=json_bytes({name: kind}), shard=shard)


_CODES = "\x1b[2J\x9b0m\r"
_PACKED = shard_of({f"{FEED_FORWARD}.weight_packed": ("I32", [8, 1])})
_CODE = {"AutoModel": f"{_CODES}\ud800.Model", "AutoConfig": f"{_CODES}--{_CODES}.x"}
BROKEN: Mapping[str, Make] = {
    # ZeroDivisionError and ValueError: digits that int() refuses, or that divide by zero
    "description of no bits": _unsigned("W0A8"),
    "description of NF0": _unsigned("NF0"),
    "description of 5,000 digits": _unsigned("W" + "9" * 5000 + "A8"),
    "group of no bits": _with("float", config=_group(weights={"num_bits": 0}), shard=_PACKED),
    "group of 5,000 digits": _with(
        "float", config=_group(weights={"num_bits": "9" * 5000}), shard=_PACKED
    ),
    # UnicodeEncodeError: halves of surrogate pairs
    "index of half a character": _with(
        "float", index=json_bytes({"weight_map": {"a": "\ud800.safetensors"}})
    ),
    "manifest of half a character": _with(
        "float",
        manifest=_manifest(files=[{"path": "\ud800", "size": 1, "sha256": "0" * 64}]),
    ),
    "model type of half a character": _with("float", config=_config(model_type="\ud800")),
    "name of half a character": _with("float", manifest=_manifest(name="\ud800")),
    # RecursionError: JSON that the parser takes and what comes after does not
    "deep manifest": _with("float", manifest=b"[" * 100_000),
    "deep scaling": _with(
        "float", config=_config(rope_scaling={"rope_type": "x", "factor": _deep(600)})
    ),
    # What a manifest cannot hold
    "infinite scaling": _with(
        "float", config=_config(rope_scaling={"rope_type": "x", "factor": float("inf")})
    ),
    "infinite evidence": _with("float", manifest=_manifest(evidence=[{"x": float("nan")}])),
    "evidence beyond all numbers": _with(
        "float", manifest=_manifest(evidence=[{"x": "big"}]).replace(b'"big"', b"1e999")
    ),
    "evidence of words": _with("float", manifest=_manifest(evidence=["word", 1])),
    # KeyError, IndexError, AttributeError, OverflowError: YAML's types
    "practice of no time": _with("float", practice=b"!!timestamp x"),
    "practice of no truth": _with("float", practice=b"!!bool maybe"),
    "practice of no number": _with("float", practice=b'!!int ""'),
    "practice of no digits": _with("float", practice=b'!!float ""'),
    "practice of no character": _with("float", practice=b'"\\UFFFFFFFF"'),
    # ValueError: flags that exclude each other
    "pattern of two versions": _with(
        "compressed-tensors", config=_quantized(ignore=["re:(?V0)(?V1)", "re:(?L)(?u)", "re:(?L)a"])
    ),
    # Codes for the terminal in what is told
    "codes in the description": _with("float", description=json_bytes({_CODES: "FLOAT"})),
    "codes in a scheme": _unsigned(f"W8A8{_CODES}"),
    "codes in the declared type": _with(
        "modelslim",
        description=json_bytes({"model_quant_type": _CODES, f"{ATTENTION}.weight": "W8A8"}),
    ),
    "codes in the index": _with("sharded", index=json_bytes({"weight_map": {_CODES: _CODES}})),
    "codes in a misplaced name": _with(
        "float", index=json_bytes({"weight_map": {f"{_CODES}\ud800": SHARD}})
    ),
    "codes in the method": _with(
        "fp8", config=_config(quantization_config={"quant_method": _CODES})
    ),
    "codes in a left method": _with(
        "modelslim", config=_config(quantization_config={"quant_method": _CODES})
    ),
    "codes in a model type": _with("modelslim-experts", config=_config(model_type=_CODES)),
    "codes in names of code": _with("float", config=_config(auto_map=_CODE)),
    "codes in offsets": _with(
        "float",
        shard=(lambda text: len(text).to_bytes(8, "little") + text)(
            json_bytes({"x": {"dtype": "I8", "shape": [4], "data_offsets": "\x1b["}})
        ),
    ),
}


def _many(layers: int, dtype: str = "BF16", **settings: Any) -> Files:
    names = (f"model.layers.{n}.mlp.up_proj.weight" for n in range(layers))
    shard = shard_of({name: (dtype, [1, 1]) for name in names})
    config = _config(num_hidden_layers=layers, quantization_config=settings)
    return {**SEEDS["float"](), SHARD: shard, "config.json": config}


def _ignoring(*patterns: str, layers: int = 1) -> Files:
    return _many(layers, **{**INT8_CONFIG, "ignore": list(patterns)})


def _including(count: int, each: int = 10**9) -> bytes:
    """A practice that includes many patterns, so many in each step."""
    words = [f"{n:x}*" for n in range(count)]
    steps = [
        f"{{type: linear_quant, include: [{','.join(words[at : at + each])}]}}"
        for at in range(0, count, each)
    ]
    return f"spec: {{process: [{','.join(steps)}]}}".encode()


def _lists(size: int) -> bytes:
    """A shard whose header is many empty lists, each of 56 bytes once it is read."""
    text = b"[" + b"[]," * (size // 3) + b"[]]"
    return len(text).to_bytes(8, "little") + text


def _merging(levels: int) -> bytes:
    rows = [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, levels)]
    return "\n".join(["a0: &a0 {x: y}", *rows]).encode()


COSTLY: Mapping[str, Make] = {
    "pattern that takes hours to compile": lambda: _ignoring("re:(){99999}"),
    "pattern that takes 8 GB to compile": lambda: _ignoring(r"re:(?:\X{9999}){9999}"),
    "pattern of repeats in repeats": lambda: _ignoring("re:((((){99}){99}){99}){99}"),
    "pattern with room in its repeat": lambda: _ignoring("re:(?x)(){ 99999 }"),
    "slow pattern for each layer": lambda: _ignoring("re:(?:.|..)+[!?]", layers=300),
    "many patterns": lambda: _ignoring(*(f"re:x{n}" for n in range(5000)), layers=1000),
    "half a million patterns": lambda: _ignoring(*(f"re:x{n}" for n in range(500_000))),
    "many groups": lambda: _many(
        600, "I8", quant_method="compressed-tensors",
        config_groups={str(n): {"weights": {}, "targets": ["re:x"]} for n in range(20_000)},
    ),
    "numbers to the base of 60": _with("float", practice=b"a: " + b":".join([b"1"] * 500_000)),
    "tables merged into each other": _with("float", practice=_merging(30)),
    "practice of a megabyte": _with("float", practice=b"a: [" + b"x, " * 1_300_000 + b"]"),
    "many patterns in a practice": lambda: {**_many(300), PRACTICE: _including(30_000)},
    "many steps in a practice": lambda: {**_many(8000), PRACTICE: _including(10_800, 180)},
    "many programs": lambda: {
        **SEEDS["float"](),
        **{f"{n}.so": b"x" for n in range(80_000)}, **{f"{n}": b"MZ" for n in range(80_000)},
    },
    "header of 90 MB of lists": lambda: {**SEEDS["float"](), SHARD: _lists(90 * 10**6)},
    "configuration of 100 MB of lists": lambda: {
        **SEEDS["float"](), "config.json": b'{"a": ' + _lists(10**8)[8:] + b"}"
    },
    "manifest of 200 MB of lists": lambda: {
        **SEEDS["float"](), MANIFEST: b'{"a": [' + b"[]," * (2 * 10**8 // 3) + b"0]}"
    },
    "names that lead outside": lambda: {
        **SEEDS["float"](),
        INDEX: json_bytes({"weight_map": {str(n): f"../{n}" for n in range(50_000)}}),
    },
    "name of ten million characters": lambda: {
        **SEEDS["modelslim"](), DESCRIPTION: json_bytes({"x" * 10**7: "W8A8"})
    },
    "names of many unfinished shards": lambda: {
        **SEEDS["float"](), **{f"x{n}-00001-of-99999.safetensors": b"" for n in range(15_000)}
    },
    "long algorithm for each layer": lambda: _many(
        2000, "U8", quant_method="x", quant_algo=[0] * 300_000
    ),
}  # fmt: skip


def main(name: str) -> None:
    """Examine one costly artifact, with 2 GiB to do it in."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    examine(MemorySource(COSTLY[name](), local=True))


if __name__ == "__main__":
    main(sys.argv[1])
