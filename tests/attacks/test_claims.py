"""A qreg.json, and an entry of MLflow, that say what an attacker wants."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient

from registry.artifact import Manifest
from registry.card import model_card
from registry.claims import WHY
from registry.config import Settings
from registry.config import load as load_settings
from registry.errors import IntegrityError
from registry.reference import Reference
from registry.resolve import resolve
from registry.stores.local_tags import LocalTags
from registry.tracking.card import write_card
from registry.tracking.client import connect
from registry.tracking.models import resolve_model
from registry.transfer.publishing import publish
from tests.attacks.shown import acting, claiming
from tests.checkpoints import write_model, write_quantized
from tests.conftest import Run

BASE = {"name": "Qwen/Qwen3-235B", "digest": "sha256:" + "12" * 32}
INVENTED = {
    "base": BASE,
    "tool": {"name": "modelslim", "version": "9.9"},
    "recipe": {"name": "w8a8"},
    "quality": {"sqnr_db": 99.9, "digest": 1.0, "weights": 2.0, "claimed": 3.0},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return claiming(write_quantized(tmp_path / "m"), **INVENTED)


def test_invented_provenance_is_shown_as_claimed(qreg: Run, folder: Path) -> None:
    told = qreg("inspect", folder, "--html", "page.html").out
    page = (folder.parent / "page.html").read_text()
    for name, value in (("base", BASE["name"]), ("made by", "modelslim"), ("sqnr db", "99.9")):
        assert re.search(rf"^{name} +{re.escape(value)}.*\(claimed\) *$", told, re.MULTILINE)
        assert re.search(rf"<th>{name}</th><td>{re.escape(value)}[^<]*\(claimed\)</td>", page)
    assert re.search(rf"^claimed +{WHY} *$", told, re.MULTILINE) and WHY in page


def test_no_claim_takes_the_place_of_a_fact(qreg: Run, folder: Path) -> None:
    told = qreg("inspect", folder).out
    digest = json.loads((folder / "qreg.json").read_text())["digest"]
    # Nobody hashed the folder: its digest is a claim, too.
    assert re.search(rf"^digest +{digest} \(claimed\) *$", told, re.MULTILINE)
    hashed = qreg("inspect", folder, "--digest").out
    assert re.search(rf"^digest +{digest} *$", hashed, re.MULTILINE)
    assert not re.search(r"^(digest|weights) .*[0-9]\.0000", told, re.MULTILINE)


def test_json_says_what_is_claimed(qreg: Run, folder: Path) -> None:
    found = qreg("inspect", folder, "--json").json
    assert {"name", "digest", "files", "created", "provenance", "evidence"} < set(found["claimed"])
    assert any(name.startswith("footprint.\x1b") for name in found["claimed"])
    assert found["quantization"]["scheme"] == "W8A8_DYNAMIC"  # derived, whatever is claimed
    assert "quantization" not in found["claimed"]
    assert "claimed" not in json.loads((folder / "qreg.json").read_text())
    sound = write_model(folder.parent / "float")
    assert qreg("inspect", sound, "--json").json["claimed"] == []


def test_what_is_published_stays_claimed(qreg: Run, folder: Path) -> None:
    published = qreg("publish", folder, "--name", "org/m", "--wait", "--json")
    assert published.code == 0, published.err
    assert "provenance" in qreg("inspect", "org/m", "--json").json["claimed"]
    assert "digest" not in qreg("inspect", "org/m", "--json").json["claimed"]
    (row,) = qreg("list", "--json").json["artifacts"]
    assert row["base"] == BASE["name"] and "base" in row["claimed"]
    assert "scheme (claimed)" in qreg("list").out


def test_cards_say_what_is_claimed(folder: Path) -> None:
    manifest = Manifest.from_bytes((folder / "qreg.json").read_bytes()).renamed("org/m")
    for card in (model_card(manifest).decode(), write_card(manifest, "hf://org/m")):
        for value in ("modelslim 9.9", "w8a8", "99.9000"):
            assert f"{value} (claimed) |" in card
        assert f"Claimed: {WHY}." in card and f"{BASE['name']}" in card
        assert acting(card) == []


def test_provenance_of_any_shape_is_published(settings: Settings, tmp_path: Path) -> None:
    """It ended with a traceback, after the revision was visible."""
    shapes: list[object] = ["text", ["a"], 7, None, {"name": ["a"]}, {"name": {"a": 1}}]
    for number, shape in enumerate(shapes):
        keys = ("base", "tool", "recipe", "quality", "mlflow_run", "activity", "derived_from")
        folder = write_quantized(tmp_path / str(number), seed=number + 1)
        claiming(folder, **dict.fromkeys(keys, shape))
        done = publish(folder, settings, name="org/m", wait=False)
        assert done.manifest.provenance["tool"] == shape


def _entry(client: MlflowClient, reference: str, digest: str) -> None:
    """What whoever can write to a tracking server can write."""
    tags = {"qreg.reference": reference, "qreg.digest": digest}
    client.create_model_version("org--m", source="s3://somewhere/x", tags=tags)


def test_an_entry_of_mlflow_names_no_folder(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name="org/m", wait=False)
    digest = str(done.manifest.digest)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/theirs.db")
    theirs = load_settings()
    assert not theirs.embedded_tracking
    client = connect(theirs)
    client.create_registered_model("org--m")
    registry = settings.data / "registry"
    refused = (
        str(tmp_path / "m"),
        f"file://{tmp_path}/m@{digest}",
        f"file://{registry}/../../m@{digest}",
        f"file://{registry}/org/m",
        f"file://{registry}/org/m@sha256:{'0' * 64}",
        "org/m",
        f"org/m@{digest}",
        f"models:/org--m/1@{digest}",
        f"ftp://org/m@{digest}",
        "\x1b[2J",
    )
    for number, reference in enumerate(refused, 1):
        _entry(client, reference, digest)
        with pytest.raises(IntegrityError, match="which qreg does not write there") as caught:
            resolve_model(Reference.parse(f"models:/org--m/{number}"), theirs)
        assert caught.value.remedy
    _entry(client, done.reference, "no digest")
    with pytest.raises(IntegrityError):
        resolve(f"models:/org--m/{len(refused) + 1}", theirs)
    _entry(client, done.reference, digest)
    found = resolve(f"models:/org--m/{len(refused) + 2}", theirs)
    assert found.manifest().digest == done.manifest.digest


def test_a_file_beside_tags_is_none(tmp_path: Path) -> None:
    tags = tmp_path / ".tags"
    tags.mkdir()
    for name in ("v1", "a b", "..x", "\u202ev2", "\x1b[2J", "-x", "x" * 129):
        (tags / name).write_text("0" * 64)
    assert list(LocalTags(tmp_path).all()) == ["v1"]


def test_a_manifest_of_an_older_qreg_with_a_folders_name_is_read(tmp_path: Path) -> None:
    content = json.loads((claiming(write_quantized(tmp_path / "m")) / "qreg.json").read_text())
    for name in ("", "模型 ü", "it's [here]", "\u200fשלום", "a\udcff", "org/name"):
        assert Manifest.from_json({**content, "name": name}).name == name


def test_a_folder_with_control_characters_in_its_name(qreg: Run, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "a\x1b[2J\nb")
    told = qreg("inspect", folder, "--digest", "--json")
    assert told.code == 0 and told.json["name"] == r"a\x1b[2J b"
    assert Manifest.from_json({**told.json}).name == r"a\x1b[2J b"
