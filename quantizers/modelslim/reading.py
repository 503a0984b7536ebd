"""What ModelSlim's log says: progress, warnings, failures (msmodelslim 26.1.0).

Lines read `DATE TIME - LOGGER - LEVEL - MESSAGE`; the older API also draws tqdm's bars.
"""

from __future__ import annotations

import re

from quantizers.bars import read_bar
from quantizers.failures import KnownFailure
from registry.progress import Progress

SUCCESS = "===========SUCCESS==========="
_BANNERS = {
    "===========ANALYSE MODEL===========": "loading the adapter",
    "===========GET BEST PRACTICE===========": "reading the practice",
    "===========QUANTIZE MODEL===========": "loading the model",
    "QUANTIZATION: Prior Stage": "preparing rotations",
    "QUANTIZATION: PREPARE DATASET": "preparing calibration",
    "QUANTIZATION: LOAD MODEL": "loading the model",
    "QUANTIZATION: ANTI OUTLIER": "smoothing",
    "QUANTIZATION: CALIBRATION": "calibrating",
    "QUANTIZATION: PERSIST": "writing shards",
    "Start to handle dataset": "preparing calibration",
    "Start to init model": "loading the model",
}
_PROCESSOR = re.compile(r'Run processor (\w+).* for "(?:[\w.]*\.)?layers\.(\d+)"')
_DOING = {
    "LoadProcessor": "loading",
    "LinearQuantProcessor": "quantizing",
    "GroupProcessor": "quantizing",
    "AscendV1Saver": "saving",
}
_WARNING = re.compile(r" - WARNING - (These include patterns are not matched .*)")
# From config.ini's dependencies; another version is known to work, so it is no more than a note.
_VERSIONS = re.compile(r" - WARNING - (Environment does not meet dependency requirements: .*)")
# Adapters that load by layer draw bars for each; the lines of the processors tell more.
_LAYER_BAR = re.compile(r"(?:\x1b\[A)?Loading (?:[\w.]*layers\.\d+|/\S+\.safetensors)?:")
_STAGES = {"Loading checkpoint shards": "loading the model"}
# `str()` of its errors puts the tip on a line of its own, `repr()` behind a comma
# (`utils/exception.py`).
_ERROR = re.compile(r"Code: (\d+), Message: (.*?)(?:(?:, |\n)TIP: (.*))?$", re.MULTILINE)

FAILURES = (
    KnownFailure(
        r"float != c10::BFloat16",
        "iter_smooth cannot smooth bfloat16 models here",
        "Use flex_smooth_quant in place of iter_smooth, as the recipe w8a8-smooth does.",
    ),
    KnownFailure(
        r"disable_names has invalid key|disable_names.*(?:invalid|not in)",
        "the practice skips layers by name that this model does not have",
        "Take the names of missing layers out of disable_names: copy the practice to a file of "
        "yours and give that as --recipe.",
    ),
    KnownFailure(
        r"EOFError|EOF when reading a line",
        "ModelSlim asked a question, and there is nobody to answer",
        "Name the practice: --recipe NAME, practice:ID or a file.",
    ),
    KnownFailure(
        r"module 'torch' has no attribute 'npu'|No module named 'torch_npu'",
        "this toolchain has no torch_npu, so no NPU can be used",
        "On an NPU machine use the vendor's environment: qreg toolchain use modelslim --python "
        "$(command -v python3) . Recipes run on a CPU, too (--device cpu); a script that imports "
        "torch_npu does not.",
    ),
    KnownFailure(
        r"Input path contains invalid characters",
        "ModelSlim refuses a path with characters beyond letters, digits, _ . / and -",
        "Move or link the folder to a path of those characters only.",
    ),
    KnownFailure(
        r"InvalidDatasetError|Failed to load dataset|The path \S+\.jsonl? doesn't exist",
        "ModelSlim cannot read the calibration set",
        'Give --calibration FILE: JSON Lines or a JSON array; a sample is "…" or {"text": "…"} .',
    ),
    KnownFailure(
        r"Code: 2\d\d, Message: .*[Ss]chema|validation errors? for",
        "the practice has a field that ModelSlim does not know or take",
        "Mend the practice; the details say which field.",
    ),
)


def read_progress(line: str, layers: int | None) -> Progress | None:
    """What a line says of the progress.

    Args:
        line: of the log.
        layers: decoder layers that are gone through, or None.
    """
    found = _PROCESSOR.search(line)
    if found:
        return Progress(
            "quantizing layers",
            int(found[2]),
            layers,
            "layers",
            _DOING.get(found[1], found[1].removesuffix("Processor")),
        )
    if "==" in line or "Start to" in line:
        for banner, stage in _BANNERS.items():
            if banner in line:
                return Progress(stage)
    if _LAYER_BAR.match(line):
        return None
    return read_bar(line, _STAGES, "calibrating")


def read_warning(line: str) -> str:
    """A warning that a user should see, in ModelSlim's words; empty for other lines."""
    found = _WARNING.search(line) or _VERSIONS.search(line)
    return f"ModelSlim: {found[1].strip()}" if found else ""


def own_words(log: str) -> KnownFailure | None:
    """ModelSlim's own message and tip, for a failure that is not known; None if it gave none."""
    found = None
    for found in _ERROR.finditer(log):  # noqa: B007 - the last one counts
        pass
    if found is None:
        return None
    tip = (found[3] or "").strip().rstrip(".")
    return KnownFailure("", f"{found[2].strip()} (code {found[1]})", f"{tip}." if tip else "")
