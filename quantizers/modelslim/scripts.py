"""The guide's older way: a script of ModelSlim's repository, from a checkout that the user has.

`example/Qwen3-MOE/quant_qwen_moe_w8a8.py` is the one of vLLM Ascend's quantization guide. Scripts
take `--model_path` and `--save_path`, and name their other options differently; which one a script
has is read from its source. What else it takes comes from the user, as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from quantizers.interface import Job
from quantizers.modelslim.devices import Device
from quantizers.modelslim.script_sets import ANTI, CALIBRATION, OPTIONS
from quantizers.modelslim.script_source import ScriptSource, read_source
from quantizers.recipe import Calibration, Recipe
from registry.errors import IncompatibleError, NotFoundError, UsageError
from registry.names import check_tag

_MOST = 2**20  # bytes of a script
_KEY = "script"
_DEVICE = ("--device_type", "--dev_type")
_SAVE = ("--save_path", "--save_directory")
_RESERVED = ("--model_path", *_SAVE)
_WISHES = {CALIBRATION: "--calibration", ANTI: "--anti-dataset"}


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
    content = path.read_bytes()
    if len(content) > _MOST:
        raise UsageError(f"The script {path} has {len(content)} bytes, and a script has {_MOST}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The script {path} is no UTF-8 text: {error}") from error
    source = read_source(text, str(path.absolute()))
    if not source.option("--model_path") or not source.option(*_SAVE):
        raise UsageError(
            f"{path} takes no --model_path and --save_path",
            remedy="qreg runs scripts of ModelSlim's example folder, which take both.",
        )
    return Recipe(
        name=check_tag(re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem).lstrip(".-") or "script"),
        title=f"ModelSlim's script {path.name}",
        tool="modelslim",
        calibration=Calibration(128, 2048, "the script's own", blank=True),
        body={_KEY: str(path.absolute())},
        text=text,
    )


def is_script(recipe: Recipe) -> bool:
    """Whether a recipe is a script."""
    return _KEY in recipe.body


def script_path(recipe: Recipe) -> Path:
    """Where a script is, for a recipe that is one."""
    return Path(recipe.body[_KEY])


def source_of(recipe: Recipe) -> ScriptSource:
    """The source of a recipe that is a script, read."""
    return read_source(recipe.text, str(script_path(recipe)))


def check_arguments(recipe: Recipe, arguments: tuple[str, ...], layers: int | None) -> str:
    """Look for arguments whose result does not pass the checks after the work.

    Args:
        recipe: that is a script.
        arguments: that it gets.
        layers: of the model.

    Returns:
        What the user should know; empty if nothing.

    Raises:
        UsageError: it could never pass.
    """
    source, words = source_of(recipe), iter(arguments)
    for word in words:
        name, _, value = word.partition("=")
        full = source.full(name)
        if full == "--mindie_format":
            raise UsageError(
                "--mindie_format writes what MindIE reads, and vLLM Ascend does not",
                remedy="Leave it out; for MindIE run the script without qreg.",
            )
        if full == "--layer_count":
            count = value or next(words, "")
            if count.isdigit() and 0 < int(count) < (layers or 0):
                return (
                    f"--layer_count {count} leaves out layers of the model's {layers}: the result "
                    "will not pass the checks, and is kept beside the output"
                )
    return ""


def check_script(recipe: Recipe, device: Device, *, experts: bool) -> None:
    """Refuse a script that needs an NPU where none is to be used.

    Args:
        recipe: that is a script.
        device: where the work is to be done.
        experts: whether the model has some, for the recipe that comes closest.

    Raises:
        IncompatibleError: it would fail after loading.
    """
    source = source_of(recipe)
    if not source.npu or device.kind != "cpu":
        return
    near = "w8a8-moe-smooth" if experts else "w8a8-smooth"
    raise IncompatibleError(
        f"The script {recipe.name} runs on NPUs alone: {source.npu}",
        remedy=f"Run it on a machine with NPUs. On a CPU the recipe {near} comes closest: leave "
        f"out --script and what follows -- , and say --recipe {near} --device cpu .",
    )


def script_arguments(job: Job, source: Path, sets: Mapping[str, Path], device: Device) -> list[str]:
    """The script and its arguments.

    Args:
        job: with a script for its recipe.
        source: the model, under a path that ModelSlim takes.
        sets: the user's sets by their use, in the shape that the script reads.
        device: where to work.

    Raises:
        UsageError: it lacks an option that the user's wishes need, or arguments set what qreg sets.
    """
    script, given = source_of(job.recipe), job.options.arguments
    for argument in given:
        if script.full(argument.partition("=")[0]) in _RESERVED:
            raise UsageError(
                f"{argument} is set by qreg", remedy="Use SOURCE and --output of `qreg quantize`."
            )
    save = script.option(*_SAVE)
    arguments = [str(script_path(job.recipe)), "--model_path", str(source), save, str(job.output)]
    for use, path in sets.items():
        arguments += [needed_option(script, OPTIONS[use], job.recipe, _WISHES[use]), str(path)]
    named = script.option(*_DEVICE)
    if named and named not in {script.full(argument.partition("=")[0]) for argument in given}:
        arguments += [named, device.kind]
    if job.options.trust_remote_code:
        names = ("--trust_remote_code",)
        trust = needed_option(script, names, job.recipe, "--trust-remote-code")
        arguments += [trust] if trust in script.switches else [trust, "True"]
    return [*arguments, *given]


def needed_option(source: ScriptSource, names: tuple[str, ...], recipe: Recipe, wish: str) -> str:
    """The script's option for a wish of the user's; raises UsageError where it has none."""
    found = source.option(*names)
    if not found:
        raise UsageError(
            f"Script {recipe.name} has no option for {wish} ({' or '.join(names)})",
            remedy=f"Leave out {wish}, or pass the script's own option after -- .",
        )
    return found
