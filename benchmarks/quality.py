"""Comparing the weights of a large checkpoint with its base: memory, and the rate.

    python -m benchmarks.quality [GIB]

A base of GIB (default 20) in bfloat16 and its W8A8_DYNAMIC are generated, 1.5 · GIB on disk, and
removed at the end. `qreg quality --weights-only` runs as users run it, on files that are not in
memory. It may take 1 GB more than the largest tensor, and no less than half the rate of the slower
of two peers: reading both checkpoints and doing nothing with them, and plain numpy, which
dequantizes matrices that lie in memory already.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.command import Run, run_command
from registry.checkpoint import open_checkpoint
from registry.checkpoint.writing import Planned, write_shard

HIDDEN, INNER, KV, VOCABULARY = 4096, 12288, 1024, 151_936  # as Qwen3-8B's
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (KV, HIDDEN),
    "self_attn.v_proj": (KV, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}  # fmt: skip
MEMORY = 10**9  # bytes beyond the largest tensor
SHARE = 0.5  # of the slower peer's rate
CHUNK = 8 * 2**20


def main() -> int:
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory(prefix="qreg-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < 1.6 * size * 2**30:
            print(f"{size:g} GiB take {1.6 * size:.0f} GiB of disk; {free / 2**30:.0f} are free")
            return 2
        # Not in this process: what it has ever held counts as memory of those that it starts.
        with get_context("spawn").Pool(1) as pool:
            layers = pool.apply(write_checkpoints, (folder, int(size * 2**30)))
        return _measure(folder, layers)


def _measure(folder: Path, layers: int) -> int:
    files = sorted(folder.glob("*/*.safetensors"))
    total = sum(file.stat().st_size for file in files)
    largest = max(t.size for t in open_checkpoint(folder / "base").tensors.values())
    print(
        f"{layers} layers, {total / 1e9:.1f} GB in both checkpoints, "
        f"largest tensor {largest / 1e9:.2f} GB\n"
    )
    environment = {**os.environ, "QREG_DATA": f"{folder}/data", "QREG_CACHE": f"{folder}/cache"}
    command = [sys.executable, "-m", "qreg", "quality", str(folder / "slim")]
    command += ["--base", str(folder / "base"), "--weights-only", "--json", "--quiet"]
    forget(files)
    began = time.perf_counter()
    for file in files:
        _read(file)
    reading = total / (time.perf_counter() - began)
    forget(files)
    ours: Run = run_command(command, environment)
    plain = _plain()
    document = json.loads(ours.out)
    # Embedding and norms are not compared, and so not read.
    done = sum(layer["parameters"] for layer in document["layers"]) * 3
    rate = done / ours.seconds
    peer = min(reading, plain)
    limit = MEMORY + largest
    print(f"{'':<24} {'rate':>10} {'memory':>9}")
    print(f"{'reading':<24} {reading / 1e6:7.0f} MB/s")
    print(f"{'plain numpy, in memory':<24} {plain / 1e6:7.0f} MB/s")
    print(f"{'qreg quality':<24} {rate / 1e6:7.0f} MB/s {ours.memory / 1e6:6.0f} MB")
    print(
        f"\n{rate / peer:.2f} of the slower peer's rate (at least {SHARE}), "
        f"{ours.memory / 1e6:.0f} of {limit / 1e6:.0f} MB; "
        f"SQNR {document['weights']['sqnr']:.2f} dB over {len(document['layers'])} layers"
    )
    return 0 if rate >= SHARE * peer and ours.memory <= limit else 1


def write_checkpoints(folder: Path, size: int) -> int:
    """Write a base of about `size` bytes and its W8A8_DYNAMIC; returns the number of layers."""
    ends = 2 * 2 * VOCABULARY * HIDDEN
    each = 2 * sum(rows * columns for rows, columns in SHAPES.values())
    layers = max(1, round((size - ends) / each))
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "dtype": "bfloat16",
        "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": layers,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": VOCABULARY, "tie_word_embeddings": False,
    }  # fmt: skip
    for side in ("base", "slim"):
        (folder / side).mkdir()
        (folder / side / "config.json").write_text(json.dumps(config))
    matrices = {shape: _matrix(*shape) for shape in {*SHAPES.values()}}
    types: dict[str, str] = {}
    shards = [
        {f"model.layers.{number}.{name}": matrices[shape] for name, shape in SHAPES.items()}
        for number in range(layers)
    ]
    count = layers + 1
    for number, modules in enumerate(shards, 1):
        _write(folder, f"model-{number:05}-of-{count:05}.safetensors", modules, types)
    ends_modules = {"lm_head": _matrix(VOCABULARY, HIDDEN)}
    _write(folder, f"model-{count:05}-of-{count:05}.safetensors", ends_modules, types)
    (folder / "slim" / "quant_model_description.json").write_text(
        json.dumps({**types, "version": "1.0.0", "model_quant_type": "W8A8_DYNAMIC"})
    )
    os.sync()
    return layers


Matrix = tuple[np.ndarray, np.ndarray, np.ndarray]


def _matrix(rows: int, columns: int) -> Matrix:
    """A base's weights as the bits of bfloat16, its int8 codes and scales [rows, 1]."""
    random = np.random.default_rng(rows + columns)
    some = random.standard_normal((min(rows, 4096), columns), np.float32) * np.float32(0.02)
    bits = (some.view(np.uint32) >> 16).astype(np.uint16)
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    scale = np.abs(exact).max(axis=1, keepdims=True) / np.float32(127)
    codes = np.round(exact / scale).astype(np.int8)
    repeats = -(-rows // len(some))
    return tuple(np.tile(a, (repeats, 1))[:rows] for a in (bits, codes, scale))


def _write(folder: Path, name: str, modules: dict[str, Matrix], types: dict[str, str]) -> None:
    base = [Planned(f"{m}.weight", "BF16", bits.shape) for m, (bits, _, _) in modules.items()]
    exact = (bits.data.cast("B") for bits, _, _ in modules.values())
    write_shard(folder / "base" / name, base, exact)
    scales, codes = [], []
    for module, (_, code, scale) in modules.items():
        for part in ("weight_scale", "weight_offset"):
            scales.append(Planned(f"{module}.{part}", "F32", scale.shape))
        codes.append(Planned(f"{module}.weight", "I8", code.shape))
    types.update(dict.fromkeys((planned.name for planned in scales + codes), "W8A8_DYNAMIC"))

    def pieces() -> Iterator[memoryview | bytes]:
        for _, _, scale in modules.values():
            yield scale.data.cast("B")
            yield bytes(scale.nbytes)
        for _, code, _ in modules.values():
            yield code.data.cast("B")

    write_shard(folder / "slim" / name, scales + codes, pieces())


def forget(files: list[Path]) -> None:
    """Let the system drop what it holds of files, so that they are read from the disk."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _read(file: Path) -> None:
    buffer = bytearray(CHUNK)
    with file.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def _plain() -> float:
    """Bytes a second of the obvious way: whole matrices, one operation after the other."""
    bits, codes, scale = _matrix(INNER, HIDDEN)
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        base = (bits.astype(np.uint32) << 16).view(np.float32)
        values = codes.astype(np.float32) * scale
        error = values - base
        signal, noise = np.sum(base * base), np.sum(error * error)
        cosine = np.sum(base * values) / np.sqrt(signal * np.sum(values * values))
        assert noise < signal and cosine > 0.999
        seconds.append(time.perf_counter() - began)
    return float(bits.nbytes + codes.nbytes) / min(seconds)


if __name__ == "__main__":
    sys.exit(main())
