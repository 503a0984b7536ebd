"""The guide's older way: a script of ModelSlim's repository, from a checkout that the user has.

`example/Qwen3-MOE/quant_qwen_moe_w8a8.py` is the one of vLLM Ascend's quantization guide. Scripts
take `--model_path` and `--save_path`, and name their other options differently; which one a script
has is read from its source. What else it takes comes from the user, as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantizers.interface import Job
from quantizers.modelslim.devices import Device
from quantizers.recipe import Calibration, Recipe
from registry.errors import NotFoundError, UsageError
from registry.names import check_tag

_MOST = 2**20  # bytes of a script
_KEY = "script"
# By what they are given: names of an option, the usual one first.
_CALIBRATION = ("--calib_dataset", "--calib_file")
_ANTI = ("--anti_dataset", "--anti_calib_file")
_DEVICE = ("--device_type", "--dev_type")
_RESERVED = ("--model_path", "--save_path", "--save_directory")


def script_recipe(path: Path) -> Recipe:
    """A script as a recipe: its text is what is recorded.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no script of ModelSlim's kind.
    """
    if not path.is_file():
        raise NotFoundError(
            f"There is no script {path}",
            remedy="Check out ModelSlim's repository and name a script below its example folder, "
            "such as example/Qwen3-MOE/quant_qwen_moe_w8a8.py .",
        )
    try:
        text = path.read_bytes()[:_MOST].decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"The script {path} is no UTF-8 text: {error}") from error
    if "--model_path" not in text or not _option(text, ("--save_path", "--save_directory")):
        raise UsageError(
            f"{path} takes no --model_path and --save_path",
            remedy="qreg runs scripts of ModelSlim's example folder, which take both.",
        )
    return Recipe(
        name=check_tag(path.stem),
        title=f"ModelSlim's script {path.name}",
        tool="modelslim",
        calibration=Calibration(128, 2048, "the script's own"),
        body={_KEY: str(path.absolute())},
        text=text,
    )


def is_script(recipe: Recipe) -> bool:
    """Whether a recipe is a script."""
    return _KEY in recipe.body


def script_arguments(job: Job, source: Path, sets: Mapping[str, Path], device: Device) -> list[str]:
    """The script and its arguments.

    Args:
        job: with a script for its recipe.
        source: the model, under a path that ModelSlim takes.
        sets: the user's sets, under `calibration.jsonl` and `anti.jsonl`.
        device: where to work.

    Raises:
        UsageError: it lacks an option that the user's wishes need, or arguments set what qreg sets.
    """
    text, given = job.recipe.text, job.options.arguments
    for argument in given:
        if argument.partition("=")[0] in _RESERVED:
            raise UsageError(
                f"{argument} is set by qreg", remedy="Use SOURCE and --output of `qreg quantize`."
            )
    save = _option(text, ("--save_path", "--save_directory"))
    arguments = [job.recipe.body[_KEY], "--model_path", str(source), save, str(job.output)]
    for names, path, wish in (
        (_CALIBRATION, sets.get("calibration.jsonl"), "--calibration"),
        (_ANTI, sets.get("anti.jsonl"), "--anti-dataset"),
    ):
        if path is not None:
            arguments += [_needed(text, names, job, wish), str(path)]
    named = _option(text, _DEVICE)
    if named and not any(argument.partition("=")[0] == named for argument in given):
        arguments += [named, device.kind]
    if job.options.trust_remote_code:
        arguments += [_needed(text, ("--trust_remote_code",), job, "--trust-remote-code"), "True"]
    return [*arguments, *given]


def _needed(text: str, names: tuple[str, ...], job: Job, wish: str) -> str:
    found = _option(text, names)
    if not found:
        raise UsageError(
            f"Script {job.recipe.name} has no option for {wish} ({' or '.join(names)})",
            remedy=f"Leave out {wish}, or pass the script's own option after -- .",
        )
    return found


def _option(text: str, names: tuple[str, ...]) -> str:
    """The first of some names that a script's source has in quotes; empty if none."""
    return next((n for n in names if f"'{n}'" in text or f'"{n}"' in text), "")
