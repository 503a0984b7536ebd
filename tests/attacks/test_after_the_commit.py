"""What is published is published, whatever its record says and whoever cannot be told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry.artifact import Manifest
from registry.config import Settings
from registry.describe import describe_folder
from registry.progress import Event, Note
from registry.tracking.release import announce
from tests.checkpoints import write_quantized
from tests.conftest import Run

_ODD: tuple[Any, ...] = ("a text", ["a", "list"], 7, None, True, {"name": {"a": ["b"]}})


@pytest.mark.parametrize("odd", _ODD, ids=str)
def test_a_record_of_any_json_is_published(
    odd: Any, qreg: Run, settings: Settings, tmp_path: Path
) -> None:
    model = write_quantized(tmp_path / "m")
    known = describe_folder(model, name="org/odd").to_json()
    names = ("tool", "base", "recipe", "quality", "mlflow_run", "activity")
    known["provenance"] = dict.fromkeys(names, odd) | {"quality": {"x": 10**400, "y": odd}}
    known["quantization"] = {"scheme": odd, "method": odd, "schemes": {"attention": odd}}
    known["footprint"] = {"weights": odd, "parameters": odd}
    (model / "qreg.json").write_text(json.dumps(known))
    done = qreg("publish", model, "--name", "org/odd", "--accept", "all", "--wait")
    assert done.code != 70 and "Traceback" not in done.err, done.err
    if done.code == 0:
        assert qreg("list").code == 0
    # Whatever the way there: telling MLflow of it does not fail.
    events: list[Event] = []
    manifest = Manifest.from_json(known)
    announce(manifest, "file:///r/org/odd", settings, wait=False, observe=events.append)
    assert events == []


def test_a_full_disk_when_mlflow_is_told_is_a_note(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    manifest = describe_folder(write_quantized(tmp_path / "m"), name="org/x")
    monkeypatch.setattr("registry.tracking.journal.write_atomically", full)
    events: list[Event] = []
    announce(manifest, "file:///r/org/x", settings, observe=events.append)
    (note,) = events
    assert isinstance(note, Note) and note.warning
    assert note.text.startswith("Published, but") and "No space left" in note.text
