"""The command and its report, on real outputs."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from registry.config import Settings
from registry.describe import describe_folder
from tests.checkpoints import write_model, write_quantized
from tests.conftest import USER, Run
from tests.quantized import float_model, quantized


@pytest.mark.e2e
def test_the_report_stands_alone(qreg: Run, settings: Settings, tmp_path: Path) -> None:
    source = quantized("modelslim-v1-moe-w8a8", USER)
    page = tmp_path / "quality.html"
    base = float_model("moe", USER)
    ran = qreg("quality", source, "--base", base, "--weights-only", "--html", page, "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    assert found["weights"]["sqnr"] == pytest.approx(42.5, abs=0.5)
    assert found["functional"] is None and found["left_float"] == 3
    kinds = {(g["kind"], g["scheme"]): g for g in found["groups"]}
    assert kinds["experts", "W8A8_DYNAMIC"]["layers"] == 48
    assert kinds["attention", "W8A8"]["compared"] == 8
    worst = min(found["layers"], key=lambda layer: layer["sqnr"])
    text = page.read_text()
    assert worst["module"] in text and f"{worst['sqnr']:.2f} dB" in text
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    pictures = [ElementTree.fromstring(p + "</svg>") for p in _pictures(text)]
    assert len(pictures) == 4  # errors, weights of two kinds, scales
    assert len(pictures[0].findall("g")) == 2 * (4 + 3)  # a dot a name and decoder layer
    again = qreg("quality", source, "--base", base, "--weights-only", "--html", page)
    assert again.code == 2 and "exists already" in again.err


def _pictures(text: str) -> list[str]:
    return ["<svg" + part.split("</svg>")[0] for part in text.split("<svg")[1:]]


@pytest.mark.e2e
def test_both_measures_and_their_evidence(qreg: Run, settings: Settings, tmp_path: Path) -> None:
    source = quantized("modelslim-v1-w8a8-dynamic", USER)
    qreg("publish", source, "--name", "org/slim")
    text = tmp_path / "text.txt"
    text.write_text("The registry keeps every artifact under the digest of its files. " * 40)
    ran = qreg("quality", "org/slim", "--base", float_model("dense", USER), "--text", text)
    assert ran.code == 0, ran.err
    assert "nats a token" in ran.out and "SQNR 42." in ran.out
    digest = describe_folder(source).digest
    (entry,) = (settings.data / "evidence" / f"{digest.hex}.jsonl").read_text().splitlines()
    figures = json.loads(entry)["figures"]
    assert figures["weights/sqnr_db"] == pytest.approx(42.4, abs=0.1)
    assert 0 < figures["divergence"] < 1e-3
    assert not list(settings.data.glob(".quality-*"))  # gigabytes for a real model


@pytest.mark.e2e
def test_no_number_where_none_is_true(qreg: Run) -> None:
    source, base = quantized("modelslim-v1-w8a8-smooth", USER), float_model("dense", USER)
    ran = qreg("quality", source, "--base", base, "--weights-only")
    assert "not comparable" in ran.out and " dB" not in ran.out
    assert "flex_smooth_quant" in ran.out  # its own recipe lies beside the weights


def test_a_base_of_another_kind_is_refused(qreg: Run, tmp_path: Path) -> None:
    source = write_quantized(tmp_path / "q")
    from tests.checkpoints import CONFIG

    other = write_model(tmp_path / "b", config={**CONFIG, "model_type": "llama"})
    ran = qreg("quality", source, "--base", other, "--weights-only", "--json")
    assert ran.code == 6 and "llama" in ran.error["message"]
