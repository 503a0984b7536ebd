"""The command and its report, on real outputs."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from quantizers.quality.histograms import Histograms
from quantizers.quality.measure import Quality
from quantizers.quality.perplexity import Answer, Perplexity
from quantizers.quality.report import facts_of, html_report
from registry.config import Settings
from registry.describe import describe_folder
from tests.checkpoints import CONFIG, write_model, write_quantized
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
    beside = quantized("llmcompressor-int8", USER)
    asked = ("--base", float_model("dense", USER), "--text", text, "--against", beside)
    ran = qreg("quality", "org/slim", *asked)
    assert ran.code == 0, ran.err
    assert "nats a token" in ran.out and "SQNR 42." in ran.out
    assert beside.name in ran.out and "its perplexity" in ran.out
    assert "as the float model's" in ran.out
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
    other = write_model(tmp_path / "b", config={**CONFIG, "model_type": "llama"})
    ran = qreg("quality", source, "--base", other, "--weights-only", "--json")
    assert ran.code == 6 and "llama" in ran.error["message"]


def test_what_would_be_ignored_or_fail_later_is_refused_first(
    qreg: Run, settings: Settings, tmp_path: Path
) -> None:
    """Without a toolchain, so that nothing can have been started."""
    source, base = write_quantized(tmp_path / "q"), write_model(tmp_path / "b")
    other = write_model(tmp_path / "llama", config={**CONFIG, "model_type": "llama"})
    larger = write_model(tmp_path / "larger", config={**CONFIG, "vocab_size": 33})
    latin, empty, sound = (tmp_path / f"{name}.txt" for name in ("latin", "empty", "sound"))
    latin.write_bytes(b"\xe9t\xe9 " * 500)
    empty.write_text("")
    sound.write_text("A text that is long enough. " * 100)
    for code, sentence, arguments in (
        (2, "cannot be read", ["--text", latin]),
        (2, "has 0 characters", ["--text", empty]),
        (2, "no use for a text", ["--text", sound, "--weights-only"]),
        (2, "no use for another artifact", ["--against", source, "--weights-only"]),
        (6, "has the model type qwen3, the artifact llama", ["--against", other]),
        (6, "has the vocabulary 32, the artifact 33", ["--against", larger]),
    ):
        ran = qreg("quality", source, "--base", base, *arguments, "--json")
        assert ran.code == code and sentence in ran.error["message"], ran.err
        assert ran.error["remedy"]
    ran = qreg("quality", base, "--base", base, "--weights-only", "--json")
    assert ran.code == 2 and "Nothing in" in ran.error["message"]
    assert "--base" in ran.error["remedy"]


def test_another_artifact_stands_beside_by_its_name() -> None:
    told = {"float": "a b", "quantized": "a b"}
    functional = Perplexity(
        {"float": 2.0, "quantized": 2.1, "other": 2.5},
        100,
        {"quantized": 0.01, "other": 0.25},
        {"quantized": 0.99, "other": 0.875},
        100,
        answers=(Answer("p", {**told, "other": "a b"}), Answer("q", {**told, "other": "a c"})),
    )
    found = Quality(
        "org/mine", "mine", None, "base", (), 0, Histograms(), functional, against="org/theirs"
    )
    facts = facts_of(found)
    assert facts["against"] == "org/theirs" and facts["its perplexity"] == "2.5000 (× 1.2500)"
    assert "0.250000 nats" in facts["its divergence"] and "87.50 %" in facts["its divergence"]
    assert facts["greedy answers"] == "2 of 2 as the float model's"
    assert facts["its greedy answers"] == "1 of 2 as the float model's"
    page = html_report(found)
    assert "<th>org/theirs</th>" in page and "<th>other</th>" not in page
    assert found.to_json()["against"] == {
        "name": "org/theirs",
        "perplexity": 2.5,
        "perplexity_ratio": 1.25,
        "divergence": 0.25,
        "agreement": 0.875,
    }
