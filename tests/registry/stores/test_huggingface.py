"""Reading from a Hugging Face hub by ranges, with huggingface_hub's own requests."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from registry.artifact import Digest
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import read_facts
from registry.config import Settings
from registry.describe import describe_folder
from registry.errors import (
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    QregError,
    TransferError,
)
from registry.inspection import inspect
from registry.progress import Event, Note
from registry.resolve import resolve
from registry.stores.huggingface import HuggingFaceSnapshot
from tests.checkpoints import write_quantized, write_sharded
from tests.conftest import Run
from tests.hub import COMMIT, Hub, hub
from tests.twins import write_twin


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a quantized and a sharded model."""
    write_quantized(tmp_path / "hub" / "org" / "quantized")
    write_sharded(tmp_path / "hub" / "org" / "sharded")
    with hub(tmp_path / "hub") as state:
        # huggingface_hub reads HF_ENDPOINT when it is imported.
        monkeypatch.setattr(constants, "ENDPOINT", state.url)
        monkeypatch.setenv("QREG_ATTEMPTS", "1")
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield state


def test_the_same_facts_as_in_a_folder(served: Hub, settings: Settings) -> None:
    for name in ("org/quantized", "org/sharded"):
        there = inspect(resolve(f"hf://{name}", settings))
        here = inspect(resolve(str(served.root / name), settings), hashing=True)
        assert there.digest == here.digest and there.name == name
        assert there.facts.footprint == here.facts.footprint
        assert there.facts.quantization.to_json() == here.facts.quantization.to_json()
        assert there.reference == f"hf://{name}@{COMMIT}"


def test_a_shard_takes_one_request_and_no_weights_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = write_twin(tmp_path / "hub" / "org" / "big", "Qwen3-235B-A22B", "W8A8")
    with hub(tmp_path / "hub") as state:
        monkeypatch.setattr(constants, "ENDPOINT", state.url)
        checkpoint = open_checkpoint(HuggingFaceSnapshot("org/big"))
    shards = {path.name for path in twin.glob("*.safetensors")}
    assert set(checkpoint.shards) == shards and len(shards) > 50
    assert all(state.requests[shard] <= 2 for shard in shards)
    others = sum(count for path, count in state.requests.items() if path not in shards)
    assert others <= 6
    metadata = sum(checkpoint.header_sizes.values()) + sum(
        size for path, size in checkpoint.files.items() if path.endswith(".json")
    )
    assert state.sent < 1.3 * metadata


def test_revisions_and_pins(served: Hub, settings: Settings) -> None:
    digest = describe_folder(served.root / "org/quantized").digest
    assert resolve(f"hf://org/quantized@{digest}", settings).folder is None
    assert resolve("hf://org/quantized@v1", settings).reference.endswith(COMMIT)
    with pytest.raises(IntegrityError, match="its newest is"):
        resolve(f"hf://org/quantized@{Digest('0' * 64)}", settings)
    with pytest.raises(NotFoundError, match="org/quantized@v9"):
        resolve("hf://org/quantized@v9", settings)


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        ("401", NotAllowedError),
        ("403", NotAllowedError),
        ("500", TransferError),
        ("418", TransferError),
    ],
)
def test_refusals_are_named(served: Hub, behaviour: str, kind: type[QregError]) -> None:
    served.behaviour = behaviour
    with pytest.raises(kind) as caught:
        HuggingFaceSnapshot("org/quantized")
    assert "hf_secret" not in caught.value.message + caught.value.remedy


def test_what_is_not_there(served: Hub) -> None:
    with pytest.raises(NotFoundError, match="org/nothing"):
        HuggingFaceSnapshot("org/nothing")
    with pytest.raises(NotFoundError, match="absent"):
        HuggingFaceSnapshot("org/quantized").read("absent", 0, 10)


def test_a_server_that_ignores_ranges_is_cut_short(served: Hub) -> None:
    source = HuggingFaceSnapshot("org/quantized")
    whole = (served.root / "org/quantized/config.json").read_bytes()
    served.behaviour = "ignore-range"
    assert source.read("config.json", 0, 5) == whole[:5]
    with pytest.raises(TransferError, match="bytes 3"):
        source.read("config.json", 3, 5)


@pytest.mark.parametrize("behaviour", ["wrong-range", "cut"])
def test_wrong_bytes_are_not_believed(served: Hub, behaviour: str) -> None:
    source = HuggingFaceSnapshot("org/quantized")
    served.behaviour = behaviour
    with pytest.raises(TransferError):
        source.read("config.json", 0, 50)


def test_an_endpoint_that_is_no_hub(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(TransferError, match="failed"):
        HuggingFaceSnapshot("org/quantized")


def test_a_hostile_listing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: Hub
) -> None:
    module = importlib.import_module("registry.stores.huggingface.snapshot")
    row = module._entry({"rfilename": "../../etc/passwd", "size": 3})
    assert row.problem and row.size == 0
    facts = read_facts(open_checkpoint(HuggingFaceSnapshot("org/quantized")))
    assert not facts.checkpoint.faults


def test_commands_read_from_the_hub(served: Hub, qreg: Run) -> None:
    env = {"HF_ENDPOINT": served.url}
    page = qreg("inspect", "hf://org/quantized", env=env)
    assert page.code == 0 and "W8A8_DYNAMIC" in page.out and COMMIT in page.out
    linted = qreg("lint", "hf://org/quantized", "--json", env=env)
    assert linted.json["summary"]["error"] == 0, linted.out
    changes = qreg("diff", "hf://org/sharded", "hf://org/quantized", "--json", env=env).json
    assert changes["schemes"]["added"] and not changes["equal"]
    # What needs the weights says so, until they are here.
    ran = qreg("verify", "hf://org/quantized", env=env)
    assert ran.code == 6 and "not on this machine" in ran.err, ran.err
    assert qreg("plan", "hf://org/quantized", env=env).code == 0
    pulled = qreg("pull", "hf://org/quantized", "--json", env=env)
    assert pulled.code == 0 and pulled.json["verified"], pulled.err
    for command in ("verify", "plan"):
        assert qreg(command, "hf://org/quantized", env=env).code == 0


def test_a_damaged_manifest_on_a_hub_is_told(served: Hub, settings: Settings) -> None:
    events: list[Event] = []
    resolve("hf://org/quantized", settings).manifest(events.append)
    assert events == []
    (served.root / "org/quantized/qreg.json").write_text("{")
    manifest = resolve("hf://org/quantized", settings).manifest(events.append)
    assert "model.safetensors" in {entry.path for entry in manifest.files}
    (note,) = events
    assert isinstance(note, Note) and note.warning and "publish it again" in note.text
