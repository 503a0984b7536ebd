"""What vLLM Ascend's quantization guide makes, and what `qreg quantize` makes of the same data."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from quantizers import QuantizationRequest, quantize
from quantizers.comparison import tensor_changes
from quantizers.interface import Options
from quantizers.llmcompressor import LLMCompressor, worker_env
from quantizers.llmcompressor.procedure import UNRECORDED, USUAL, read_procedure
from quantizers.reproduce import reproduce
from registry.checkpoint import open_checkpoint
from registry.config import Settings
from registry.errors import IncompatibleError
from registry.progress import Event, Note, ignore
from registry.tracking.client import connect
from tests.conftest import USER
from tests.quantized import TEXTS
from tests.quantizers.test_recipe import load_recipe
from toolchains import find_toolchain, run_tool

WORKER = Path(__file__).parents[1] / "workers" / "guide_examples.py"
SAMPLES, ROWS = 12, 20
MODELS = {"llama": "llama", "qwen3": "qwen3", "moe": "qwen3-moe"}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `float/NAME`, `guide/NAME` and `chats.jsonl`."""
    folder = tmp_path_factory.mktemp("guide")
    pick = random.Random(0)
    words = " ".join(TEXTS).split()

    def text(most: int) -> str:
        return " ".join(pick.choices(words, k=pick.randint(3, most)))

    roles = ("user", "assistant")
    chats = [{"messages": [{"role": r, "content": text(40)} for r in roles]} for _ in range(ROWS)]
    (folder / "chats.jsonl").write_text("\n".join(map(json.dumps, chats)))
    job = {
        "output": str(folder / "made"),
        "models": MODELS,
        "chats": str(folder / "chats.jsonl"),
        "samples": SAMPLES,
        "seed": USUAL.seed,
    }
    (folder / "job.json").write_text(json.dumps(job))
    python = find_toolchain("llmcompressor", USER).python
    argv = [str(python), "-I", str(WORKER), str(folder / "job.json")]
    log = folder / "log.txt"
    done = run_tool(argv, log=log, env=worker_env(), cwd=folder)
    assert done.code == 0, log.read_text()[-3000:]
    return folder


def _recipe(folder: Path) -> Path:
    """The shipped recipe with fewer samples than the guide's 512."""
    shipped = load_recipe("w8a8-smooth", "llmcompressor").text
    path = folder / "w8a8-smooth.yaml"
    path.write_text(shipped.replace("samples: 512", f"samples: {SAMPLES}"))
    return path


@pytest.mark.e2e
@pytest.mark.parametrize("name", MODELS)
def test_tensor_by_tensor_what_the_guide_makes(
    name: str, examples: Path, settings: Settings, tmp_path: Path
) -> None:
    dense = name != "moe"
    request = QuantizationRequest(
        str(examples / "made" / "float" / name),
        name=f"test/{name}",
        recipe=str(_recipe(tmp_path)) if dense else "w8a8-dynamic",
        calibration=examples / "chats.jsonl" if dense else None,
        output=tmp_path / "ours",
        evaluate=False,
    )
    made = quantize(request, replace(settings, toolchains=USER.toolchains), ignore)
    theirs = open_checkpoint(examples / "made" / "guide" / name)
    ours = open_checkpoint(made.folder)
    alike, changes = tensor_changes(theirs, ours, ignore)
    assert changes == [] and alike == len(theirs.tensors) == len(ours.tensors)
    assert sum(t.dtype == "I8" for t in ours.tensors.values()) >= 14
    quantization = "quantization_config"
    assert ours.config[quantization] == theirs.config[quantization]
    # What decided about it is on record, in the artifact and in the run.
    provenance = made.manifest.provenance
    assert provenance["procedure"] == USUAL.to_json()
    run = connect(settings).get_run(str(made.run_id))
    assert run.data.params["procedure.shuffle_seed"] == "42"
    assert run.data.params["procedure.max_shard_size"] == "5GB"
    if dense:
        # Token by token what the guide's example hands on: one BOS each.
        path = examples / "made" / "guide" / f"{name}.calibration.json"
        rows = json.loads(path.read_text())
        assert all(row[0] == 1 and 1 not in row[1:] for row in rows) and len(rows) == SAMPLES
        used = provenance["calibration"]["used"]
        assert used["tokens"] == sum(map(len, rows)) and used["samples"] == SAMPLES
        assert used["with_special_tokens_added"] == 0 and used["shuffle_seed"] == 42


@pytest.mark.e2e
def test_texts_get_one_bos_and_an_older_record_is_followed(
    examples: Path, settings: Settings, tmp_path: Path
) -> None:
    """A record that says nothing of all this was made without shuffling, and is made so again."""
    here = replace(settings, toolchains=USER.toolchains)
    source = examples / "made" / "float" / "llama"
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "every artifact"}\n{"text": "<s> has one digest"}\n')
    old = QuantizationRequest(
        str(source),
        name="test/texts",
        recipe=str(_recipe(tmp_path)),
        calibration=texts,
        output=tmp_path / "old",
        evaluate=False,
        options=Options(procedure={}),
    )
    events: list[Event] = []
    before = quantize(old, here, events.append)
    assert any(isinstance(e, Note) and "second BOS" in e.text for e in events)
    now = replace(old, output=tmp_path / "new", options=Options())
    after = quantize(now, here, ignore)
    counts = [m.manifest.provenance["calibration"]["used"] for m in (before, after)]
    assert counts[0]["tokens"] == counts[1]["tokens"] + 1
    assert [c["with_special_tokens_added"] for c in counts] == [2, 1]
    assert counts[1]["sha256"] != hashlib.sha256(b"").hexdigest()
    # As an older qreg left it.
    document = json.loads((before.folder / "qreg.json").read_text())
    del document["provenance"]["procedure"]
    (before.folder / "qreg.json").write_text(json.dumps(document))
    events.clear()
    again = reproduce(str(before.folder), here, observe=events.append)
    assert again.identical
    assert any(isinstance(e, Note) and "it is done so again" in e.text for e in events)


def test_only_what_qreg_writes_is_followed() -> None:
    assert read_procedure({}) == UNRECORDED
    assert read_procedure(USUAL.to_json()) == USUAL
    assert read_procedure(json.loads(json.dumps(UNRECORDED.to_json()))) == UNRECORDED
    wrong = {
        "seed": (-1, True, "42", 2**32, None),
        "shuffle_seed": (-1, "x", 1.5),
        "draws_order": (1, None),
        "second_bos": ("yes",),
        "max_shard_size": ("5", "0GB", "5GB; rm", 5, "99999999GB"),
    }
    for key, values in wrong.items():
        for value in values:
            with pytest.raises(IncompatibleError, match="cannot be followed"):
                read_procedure({**USUAL.to_json(), key: value})
    for table in ({"seed": 42}, {**USUAL.to_json(), "more": 1}):
        with pytest.raises(IncompatibleError, match="cannot be followed"):
            read_procedure(table)


def test_the_model_free_path_has_nothing_to_record() -> None:
    tool, options = LLMCompressor(), Options()
    assert tool.procedure(load_recipe("model-free-w8a8-dynamic", "llmcompressor"), options) == {}
    assert tool.procedure(load_recipe("w8a8-dynamic", "llmcompressor"), options)
