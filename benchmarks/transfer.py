"""Moving weights: qreg against the hubs' own clients, s5cmd and nginx, on loopback.

    python -m benchmarks.transfer [GIB] [RUNS]

2 GiB in 8 shards and medians of 5 runs by default. All clients are started as users start them, in
turn, and talk to the same servers; qreg checks every sha256, snapshot_download and s5cmd do not.
All of it lies in memory (/dev/shm) where there is room, as a disk is as slow for every client;
TMPDIR names another place.
S3 is served by Swift, by moto and by localbucket (PyPI). The last one is fast, and takes the cores
that a client would need for sha256: what s5cmd takes with a check of its own is told beside it.
s5cmd, localbucket and nginx are measured where they are on the PATH, else named as missing.
What was published is told to MLflow after the command; that is a line of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from benchmarks.command import Run, run_command
from benchmarks.memory import warm
from benchmarks.servers import BUCKET, S3_SERVERS, nginx
from registry.checkpoint.safetensors import PREFIX
from tests.checkpoints import write_quantized
from tests.own_hub import OwnHub, own_hub

SHARDS = 8
MEMORY = 300  # MB at most
T = TypeVar("T")
BIN = Path(sys.executable).parent


def main() -> int:
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    found: dict[str, list[Run]] = {}
    # As pip leaves packages: compiled. The first runs, with a small model, see to that.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="qreg-bench-", dir=_place(size * 2**30)) as work:
        root = Path(work)
        os.environ["PYTHONPYCACHEPREFIX"] = str(root / "compiled")
        os.environ["TMPDIR"] = str(root / "tmp")
        for folder in ("small", "large", "tmp"):
            (root / folder).mkdir()
        small = make_model(root / "small-model", 2**20)
        measure(root / "small", small, 1, {})
        model = make_model(root / "model", int(size * 2**30))
        with warm(int(3 * size * 2**30)):  # what a server and a client take, and some
            measure(root / "large", model, runs, found)
    return report(found, size)


def _place(size: float) -> str | None:
    """Where the model, what the servers keep and what a client receives lie."""
    memory = Path("/dev/shm")
    if os.environ.get("TMPDIR") or not memory.is_dir():
        return None
    return str(memory) if shutil.disk_usage(memory).free > 6 * size else None


def measure(root: Path, model: Path, runs: int, found: dict[str, list[Run]]) -> None:
    """Run every client, in turn; who begins differs."""
    for number in range(runs):
        for client in rotated((_qreg_publish, _hf_upload, _modelscope_upload), number):
            with own_hub(root / "hub") as hub:
                client(root, hub, model, found)
            shutil.rmtree(root / "hub")
    publish = ["publish", model, "--name", "bench/m", *ACCEPT, "--wait", "--to"]
    with own_hub(root / "hub") as hub:
        _qreg(root, hub, *publish, "hf://")
        for number in range(runs):
            for client in rotated((_qreg_pull, _snapshot, _modelscope_pull, _receive), number):
                (root / "client").mkdir()
                client(root / "client", hub, found)
                shutil.rmtree(root / "client")
        _serve(root, model, hub, runs, found)
    if not shutil.which("s5cmd"):
        print("s5cmd is not on the PATH: S3 is not measured")
        return
    for name, server in S3_SERVERS.items():
        with server(root) as environment:
            if environment:
                _qreg(root, environment, *publish, S3)
                _measure_s3(root, model, environment, name, runs, found)


def _measure_s3(
    root: Path,
    model: Path,
    environment: Mapping[str, str],
    server: str,
    runs: int,
    found: Found,
) -> None:
    for number in range(runs):
        for client in rotated((_qreg_s3, _s5cmd), number):
            (root / "client").mkdir()
            client(root / "client", environment, server, found)
            shutil.rmtree(root / "client")


def rotated(clients: Sequence[T], number: int) -> list[T]:
    """The same in another order."""
    begin = number % len(clients)
    return [*clients[begin:], *clients[:begin]]


ACCEPT = ("--accept", "all")


def make_model(folder: Path, size: int) -> Path:
    """A checkpoint with so many bytes of weights that no two shards are alike."""
    write_quantized(folder)
    (folder / "model.safetensors").unlink()
    each, weight_map = size // SHARDS, {}
    noise = os.urandom(2**24)
    for number in range(1, SHARDS + 1):
        shard = _shard(number)
        name = f"model.layers.0.mlp.experts.{number}.weight"
        weight_map[name] = shard
        entry = {"dtype": "I8", "shape": [each], "data_offsets": [0, each]}
        header = json.dumps({name: entry}).encode()
        with (folder / shard).open("wb") as file:
            file.write(len(header).to_bytes(PREFIX, "little") + header + os.urandom(64))
            left = each - 64
            while left:
                left -= file.write(noise[: min(len(noise), left)])
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return folder


def _shard(number: int) -> str:
    return f"model-{number:05d}-of-{SHARDS:05d}.safetensors"


Found = dict[str, list[Run]]


def _qreg_publish(root: Path, hub: OwnHub, model: Path, found: Found) -> None:
    publish = ["publish", model, "--name", "bench/m", "--to", "hf://", *ACCEPT]
    found.setdefault("qreg publish", []).append(_qreg(root, hub, *publish))
    found.setdefault("… then MLflow", []).append(_qreg(root, hub, "sync"))
    found.setdefault("qreg publish again", []).append(_qreg(root, hub, *publish))
    _qreg(root, hub, "sync")
    command = [sys.executable, "-m", "benchmarks.bare", "hash", model]
    found.setdefault("sha256 alone", []).append(_run(root, {}, *command))
    shutil.rmtree(root / "data")


def _hf_upload(root: Path, hub: OwnHub, model: Path, found: Found) -> None:
    command = [BIN / "hf", "upload", "bench/m", model, "."]
    found.setdefault("hf upload", []).append(_run(root, hub.environment, *command))


def _modelscope_upload(root: Path, hub: OwnHub, model: Path, found: Found) -> None:
    command = [BIN / "modelscope", "upload", "bench/m", model]
    found.setdefault("modelscope upload", []).append(_run(root, hub.environment, *command))
    for left in model.glob(".ms*"):  # its client leaves a tracker in the source
        left.unlink()


def _qreg_pull(root: Path, hub: OwnHub, found: Found) -> None:
    found.setdefault("qreg pull", []).append(_qreg(root, hub, "pull", "hf://bench/m"))


def _snapshot(root: Path, hub: OwnHub, found: Found) -> None:
    code = f"from huggingface_hub import snapshot_download as s; s('bench/m', cache_dir='{root}/c')"
    command = [sys.executable, "-c", code]
    found.setdefault("snapshot_download", []).append(_run(root, hub.environment, *command))


def _modelscope_pull(root: Path, hub: OwnHub, found: Found) -> None:
    command = [BIN / "modelscope", "download", "--model", "bench/m", "--local_dir", root / "ms"]
    found.setdefault("modelscope download", []).append(_run(root, hub.environment, *command))


def _receive(root: Path, hub: OwnHub, found: Found) -> None:
    paths = [f"/bench/m/resolve/main/{_shard(number)}" for number in range(1, SHARDS + 1)]
    address = hub.url.removeprefix("http://")
    command = [sys.executable, "-m", "benchmarks.bare", "receive", address, hub.reader, *paths]
    found.setdefault("receiving alone", []).append(_run(root, {}, *command))


def _qreg_s3(root: Path, environment: Mapping[str, str], server: str, found: Found) -> None:
    run = _qreg(root, environment, "pull", f"{S3}/bench/m")
    found.setdefault(f"qreg pull, {server}", []).append(run)


def _s5cmd(root: Path, environment: Mapping[str, str], server: str, found: Found) -> None:
    endpoint = environment["AWS_ENDPOINT_URL_S3"]
    command = ["s5cmd", "--endpoint-url", endpoint, "cp", f"{S3}/bench/m/*", f"{root}/s5/"]
    copied = _run(root, environment, *command)
    found.setdefault(f"s5cmd cp, {server}", []).append(copied)
    made = next((root / "s5").rglob(_shard(1))).parent
    checked = _run(root, {}, sys.executable, "-m", "benchmarks.bare", "hash", made)
    both = replace(
        copied,
        seconds=copied.seconds + checked.seconds,
        processor=copied.processor + checked.processor,
    )
    found.setdefault(f"… then sha256, {server}", []).append(both)


def _serve(root: Path, model: Path, hub: OwnHub, runs: int, found: dict[str, list[Run]]) -> None:
    """One file, from the hub and from nginx, with the same client."""
    curl = ["curl", "-sS", "-o", os.devnull, "--fail"]
    shard = _shard(1)
    token = ["-H", f"Authorization: Bearer {hub.reader}"]
    with nginx(root, model) as url:
        for _ in range(runs if url else 0):
            run = _run(root, {}, *curl, f"{url}/{shard}")
            found.setdefault("nginx, one file", []).append(run)
            run = _run(root, {}, *curl, *token, f"{hub.url}/bench/m/resolve/main/{shard}")
            found.setdefault("hub, one file", []).append(run)


S3 = f"s3://{BUCKET}"


def _qreg(root: Path, hub: OwnHub | Mapping[str, str], *arguments: object) -> Run:
    environment = hub.environment if isinstance(hub, OwnHub) else dict(hub)
    home = {"QREG_DATA": str(root / "data"), "QREG_CACHE": str(root / "cache")}
    command = [sys.executable, "-m", "qreg", *arguments, "--quiet"]
    return _run(root, {**environment, **home}, *command)


def _run(root: Path, environment: Mapping[str, str], *command: object) -> Run:
    home = {"HF_HOME": str(root / "hf"), "MODELSCOPE_CACHE": str(root / "ms-cache")}
    return run_command(command, {**os.environ, **home, **environment})


RATIOS = (
    ("qreg pull", "snapshot_download", 1.0),
    ("qreg pull", "modelscope download", 1.0),
    ("qreg pull, Swift", "s5cmd cp, Swift", 0.9),
    ("qreg pull, moto", "s5cmd cp, moto", 0.9),
    ("qreg pull, localbucket", "… then sha256, localbucket", 0.9),
    ("qreg publish", "hf upload", 1.2),
    ("qreg publish", "modelscope upload", 1.2),
    ("hub, one file", "nginx, one file", 0.7),
    # Without a limit: how near the machine's own is.
    ("qreg pull, localbucket", "s5cmd cp, localbucket", 0.0),
    ("qreg publish again", "sha256 alone", 0.0),
    ("qreg pull", "receiving alone", 0.0),
)


def report(found: Mapping[str, list[Run]], size: float) -> int:
    """Print medians and ratios; 1 if any is below its limit."""
    median = {what: statistics.median(r.seconds for r in runs) for what, runs in found.items()}
    print(f"\n{'':<26} {'median':>9} {'from':>6} {'to':>6} {'MB/s':>7} {'CPU':>8} {'memory':>9}")
    for what, runs in found.items():
        bytes_ = size * 2**30 / (SHARDS if "one file" in what else 1)
        memory = max(run.memory for run in runs) / 1e6
        rate = bytes_ / 1e6 / median[what]
        processor = statistics.median(run.processor for run in runs)
        least, most = (extreme(run.seconds for run in runs) for extreme in (min, max))
        print(
            f"{what:<26} {median[what]:7.2f} s {least:6.2f} {most:6.2f} {rate:7.0f} "
            f"{processor:6.2f} s {memory:6.0f} MB"
        )
    print(f"\n{'speed of … against …':<52} {'ratio':>6}  at least")
    missed = 0
    for ours, peer, limit in RATIOS:
        if ours in median and peer in median:
            ratio = median[peer] / median[ours]
            missed += ratio < limit
            print(f"{ours + ' / ' + peer:<52} {ratio:6.2f}  {limit or ''}")
    heavy = [
        w for w, runs in found.items() if "qreg" in w and max(r.memory for r in runs) > MEMORY * 1e6
    ]
    for what in heavy:
        print(f"{what} took more than {MEMORY} MB")
    return 1 if missed or heavy else 0


if __name__ == "__main__":
    sys.exit(main())
