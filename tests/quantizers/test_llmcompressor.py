"""Reading LLM-Compressor's own output; the lines are from its log, version 0.14.0.1."""

from __future__ import annotations

import pytest

from quantizers.llmcompressor import LLMCompressor
from registry.progress import Progress


@pytest.mark.parametrize(
    ("line", "stage", "done", "total"),
    [
        (
            "Loading weights:  50%|#####     | 23/46 [00:00<00:00, 9it/s]",
            "loading the model",
            23,
            46,
        ),
        (
            "Applying quantization config: 100%|██████████| 28/28 [00:00<00:00, 7793.00it/s]",
            "preparing layers",
            28,
            28,
        ),
        (
            "(2/5): Calibrating:  25%|██▌       | 8/32 [00:00<00:00, 86.96it/s]",
            "calibrating, block 2 of 5",
            8,
            32,
        ),
        ("Compressing model:   0%|          | 0/28 [00:00<?, ?it/s]", "compressing layers", 0, 28),
        ("Something new:  10%|█  | 1/10 [00:00<?, ?it/s]", "Something new", 1, 10),
    ],
)
def test_progress_bars(line: str, stage: str, done: int, total: int) -> None:
    assert LLMCompressor().read_line(line) == Progress(stage, done, total, "steps")


@pytest.mark.parametrize(
    "line", ["2026-11-23T11:31:04.2984 | resave_config | INFO - Resaved", "done", "50% | 3/4"]
)
def test_other_lines(line: str) -> None:
    assert LLMCompressor().read_line(line) is None


def test_known_failures_have_a_remedy() -> None:
    known = LLMCompressor().explain("OSError: [Errno 28] No space left on device")
    assert known is not None and "disk" in known.remedy
    assert LLMCompressor().explain("something else") is None
