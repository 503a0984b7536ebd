"""What a quantization leaves on record, and what of it is for this machine only."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from quantizers.interface import Job, Options
from quantizers.placeholders import published_reference, without_paths
from quantizers.places import Places, recall, remember
from quantizers.prepare import prepare
from quantizers.record import inputs_of, places_of
from quantizers.recorded import read_record
from quantizers.request import QuantizationRequest
from registry.artifact import Digest
from registry.config import Settings
from registry.describe import describe_folder
from registry.folder import hash_files, list_files
from registry.progress import Event, Note, ignore
from tests.checkpoints import CONFIG, FLOAT, write_model

DIGEST = Digest("5" * 64)


@pytest.fixture
def here(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a toolchain that is this interpreter; nothing runs in it."""
    record = {"python": sys.executable, "versions": {"llmcompressor": "0.14.0.1", "torch": "2"}}
    (tmp_path / "toolchains").mkdir()
    (tmp_path / "toolchains" / "llmcompressor.json").write_text(json.dumps(record))
    return replace(settings, toolchains=tmp_path / "toolchains")


def test_no_path_of_this_machine_is_published(here: Settings, tmp_path: Path) -> None:
    source = write_model(tmp_path / "models" / "Mine", FLOAT, {**CONFIG, "auto_map": {"a": "b.C"}})
    (source / "b.py").write_text("")
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "a"}\n')
    request = QuantizationRequest(
        str(source),
        name="test/made",
        recipe="w8a8-static",
        calibration=texts,
        output=tmp_path / "out",
        options=Options(trust_remote_code=True),
    )
    events: list[Event] = []
    prepared = prepare(request, here, events.append)
    work = tmp_path / "work"
    work.mkdir()
    job = Job(source, tmp_path / "partial", prepared.recipe, texts, work, prepared.checkpoint)
    command = prepared.quantizer.command(job, prepared.toolchain)
    files = hash_files(source, list_files(source))
    inputs = inputs_of(prepared, files, command, job)

    text = json.dumps(inputs)
    assert str(tmp_path) not in text and str(Path(__file__).parents[2]) not in text
    assert sys.executable not in text
    assert inputs["base"]["name"] == "Mine" and inputs["base"]["reference"] is None
    assert inputs["calibration"]["file"] == "texts.jsonl" and "path" not in inputs["calibration"]
    assert inputs["command"][0] == "{python}" and inputs["command"][-1] == "{work}/job.json"
    assert prepared.code and inputs["code"]["digest"] == str(prepared.code.digest)
    assert [e.text for e in events if isinstance(e, Note) and "b.py" in e.text]
    # It is what `reproduce` reads, and the paths are kept beside it.
    made = write_model(tmp_path / "made", FLOAT)
    record = read_record(describe_folder(made, name="test/made", provenance=inputs))
    assert record.ran_code and record.code == prepared.code.digest
    assert record.sets["calibration"].digest and record.base_reference == ""
    assert record.threads == int(command.env["OMP_NUM_THREADS"])
    places = places_of(prepared)
    assert places == Places(str(source), {"calibration": str(texts)})
    remember(here, DIGEST, places)
    assert recall(here, DIGEST) == places
    (kept,) = (here.data / "places").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_hubs_token_goes_where_a_data_set_is_named(here: Settings, tmp_path: Path) -> None:
    source = write_model(tmp_path / "model", FLOAT)
    given = {"w8a8-dynamic": None, "w8a8-static": "org/texts"}
    for recipe, calibration in given.items():
        request = QuantizationRequest(
            str(source), name="test/made", recipe=recipe, calibration=calibration
        )
        prepared = prepare(request, here, ignore)
        job = Job(
            source, tmp_path / "out", prepared.recipe, calibration, tmp_path, prepared.checkpoint
        )
        command = prepared.quantizer.command(job, prepared.toolchain)
        assert ("HF_TOKEN" in command.secrets) == (calibration is not None)


def test_places_that_are_not_known(settings: Settings) -> None:
    assert recall(settings, DIGEST) == Places()
    path = settings.data / "places" / f"{DIGEST.hex}.json"
    path.parent.mkdir(parents=True)
    for content in ("", "[]", '{"source": "/x"}', '{"source": "/x", "sets": []}'):
        path.write_text(content)
        assert recall(settings, DIGEST) == Places()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/model", "{source}"),
        ("/home/me/model/x.json", "{source}/x.json"),
        ("/home/me/models", "{path}/models"),
        ("--file=/srv/data/texts.jsonl", "--file={path}/texts.jsonl"),
        ("/a/one:/b/two", "{path}/one:{path}/two"),
        ('{"path": "/a/b"}', '{"path": "{path}/b"}'),
        ("file:///a/b/c", "{path}/c"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("org/name", "org/name"),
        ("{path}/b", "{path}/b"),
    ],
)
def test_paths_are_shortened(text: str, left: str) -> None:
    assert without_paths(text, {"/home/me/model": "{source}"}) == left
    assert without_paths(left) == left


def test_references_that_others_find(tmp_path: Path) -> None:
    for reference in ("hf://org/name", "org/name@v1", "s3://bucket/org/name", "models:/name@best"):
        assert published_reference(reference) == reference
    for folder in (str(tmp_path), "./a", "~/a", "file:///srv/registry/org/name"):
        assert published_reference(folder) is None
