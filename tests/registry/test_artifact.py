"""Digests and manifests."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from registry.artifact import FileEntry, Manifest, payload_digest
from registry.config import load
from registry.describe import describe_folder
from registry.errors import IncompatibleError, IntegrityError
from registry.inspection import inspect
from registry.payload import is_payload
from registry.resolve import resolve
from tests.checkpoints import write_quantized

ENTRIES = (FileEntry("b.txt", 1, "b" * 64), FileEntry("a/c.json", 2, "a" * 64))


def test_the_digest_is_that_of_the_documented_text() -> None:
    text = f'[["a/c.json",2,"{"a" * 64}"],["b.txt",1,"{"b" * 64}"]]'
    assert payload_digest(ENTRIES).hex == hashlib.sha256(text.encode()).hexdigest()


def test_what_hubs_leave_behind_does_not_change_the_digest() -> None:
    noise = ["README.md", "qreg.json", ".gitattributes", "configuration.json", ".cache/x"]
    extra = [FileEntry(path, 9, "c" * 64) for path in noise]
    assert not any(map(is_payload, noise))
    assert payload_digest([*extra, *reversed(ENTRIES)]) == payload_digest(ENTRIES)


def test_a_manifest_follows_its_schema_and_survives_a_round_trip(tmp_path: Path) -> None:
    manifest = describe_folder(write_quantized(tmp_path / "m"), name="org/name")
    schema = json.loads((files("registry") / "schemas" / "manifest-1.json").read_text())
    jsonschema.validate(manifest.to_json(), schema)
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_unknown_fields_are_kept(tmp_path: Path) -> None:
    value = describe_folder(write_quantized(tmp_path / "m"), name="org/name").to_json()
    value["from_the_future"] = {"x": 1}
    value["architecture"]["new_fact"] = 2
    value["files"][0]["media_type"] = "application/json"
    again = Manifest.from_json(value).to_json()
    assert again == value


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:" + "0" * 64},
        {"files": [{"path": "../x", "size": 1, "sha256": "a" * 64}]},
        {"files": [{"path": "x", "size": -1, "sha256": "a" * 64}]},
        {"files": "none"},
        {"architecture": []},
        {"schema_version": "1"},
    ],
)
def test_altered_manifests_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    value = describe_folder(write_quantized(tmp_path / "m"), name="org/name").to_json()
    with pytest.raises(IntegrityError):
        Manifest.from_json({**value, **change})


def test_a_newer_schema_asks_for_an_upgrade() -> None:
    with pytest.raises(IncompatibleError, match="schema version 2"):
        Manifest.from_json({"schema_version": 2, "files": []})


def test_provenance_of_a_manifest_counts_only_for_its_own_files(tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    made = describe_folder(folder, name="org/name", provenance={"tool": {"name": "t"}})
    (folder / "qreg.json").write_bytes(made.to_bytes())
    assert describe_folder(folder).provenance == {"tool": {"name": "t"}}
    (folder / "tokenizer.json").write_text('{"changed": 1}')
    changed = describe_folder(folder)
    assert changed.provenance == {}
    assert changed.digest != made.digest


def test_what_only_a_newer_qreg_knows_is_kept_everywhere(tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    value = describe_folder(folder, name="org/name").to_json()
    for section in ("architecture", "quantization", "footprint"):
        value[section]["newer"] = {"than": section}
    value["newer"] = 1
    (folder / "qreg.json").write_text(json.dumps(value))
    again = describe_folder(folder).to_json()
    inspected = inspect(resolve(str(folder), load({"HOME": str(tmp_path)}))).to_json()
    for found in (again, inspected):
        assert found["newer"] == 1
        for section in ("architecture", "quantization", "footprint"):
            assert found[section]["newer"] == {"than": section}


@pytest.mark.parametrize("content", ['{"x": 1e999}', "[" * 2_000_000])
def test_numbers_and_lists_that_no_manifest_has(content: str) -> None:
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(content.encode())


@pytest.mark.parametrize("paths", [["x", "x/y"], ["x", "x"], ["qreg.json"], ["qreg.json/x"]])
def test_lists_that_no_folder_can_hold_are_refused(paths: list[str]) -> None:
    files = tuple(FileEntry(path, 1, "0" * 64) for path in paths)
    manifest = Manifest(name="org/model", digest=payload_digest(files), files=files)
    with pytest.raises(IntegrityError, match=r"below a file|twice"):
        Manifest.from_bytes(manifest.to_bytes())
