"""The replay of deployments: what it compares, and that it can fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.replay.__main__ import main
from tests.twins import ARCHITECTURES

_ROW: dict[str, Any] = {
    "name": "r1",
    "model": "org/DeepSeek-R1-W8A8",
    "architecture": "r1",
    "hardware": "A3?",
    "role": "single",
    "quant": "ascend",
    "quant_type": "W8A8",
    "tp": 8,
    "dp": 2,
    "pp": 1,
    "flags": {
        "quantization": "ascend",
        "enable-expert-parallel": True,
        "max-model-len": "32768",
        "max-num-seqs": "16",
        "gpu-memory-utilization": "0.9",
    },
    "envs": {"HCCL_BUFFSIZE": "512"},
    "speculative_config": {"method": "deepseek_mtp", "num_speculative_tokens": 1},
}


@pytest.fixture
def replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Replays rows; returns the exit code and what was printed."""

    def run(*rows: dict[str, Any]) -> tuple[int, str]:
        path = tmp_path / "deployments.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        geometry = {"r1": ARCHITECTURES["DeepSeek-R1"], "q3": ARCHITECTURES["Qwen3-8B"]}
        (tmp_path / "architectures.json").write_text(json.dumps(geometry))
        monkeypatch.setattr(sys, "argv", ["replay", str(path)])
        return main(), capsys.readouterr().out

    return run


def _row(flags: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {**_ROW, **changes, "flags": {**_ROW["flags"], **(flags or {})}}


def test_a_sound_deployment_is_planned_alike(replay: Any) -> None:
    code, text = replay(_row(), _row(architecture=None), _row(hardware="?"))
    assert code == 0, text
    assert "speculation method" in text and "skipped, as" in text and text.rstrip().endswith("2")


def test_another_parser_is_told_with_the_reason(replay: Any) -> None:
    code, text = replay(_row({"reasoning-parser": "qwen3"}))
    assert code == 1
    assert "r1: reasoning-parser: qwen3 / qreg: deepseek_r1: splits its thoughts" in text


def test_what_the_release_lacks_is_no_difference(replay: Any) -> None:
    code, text = replay(_row({"tool-call-parser": "of_the_future"}))
    assert code == 0 and "not of this release" in text
    dense = _row(architecture="q3", model="org/Qwen3-8B-W8A8", dp=1, speculative_config={})
    code, text = replay(dense)
    assert code == 0 and "no experts" in text


def test_what_has_no_room_is_told(replay: Any) -> None:
    code, text = replay(_row(hardware="A2", dp=1))
    assert code == 1
    assert "feasible" in text and "own plan" in text and "GiB are missing" in text


def test_one_rank_of_prefill_is_not_the_whole_deployment(replay: Any) -> None:
    code, text = replay(_row(role="pd-prefill", nodes=4), _row(role="pd-decode", tp=1, dp=32))
    assert code == 0, text
