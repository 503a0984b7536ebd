"""From a request to everything that it names, with all checks that cost nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from quantizers.calibration import CalibrationSet, find_calibration
from quantizers.catalogue import open_quantizer
from quantizers.consent import check_code
from quantizers.interface import Quantizer
from quantizers.preflight import (
    check_evaluation_text,
    check_recipe_fits,
    check_resources,
    check_source,
)
from quantizers.quality.budget import mode_of
from quantizers.recipe import Recipe
from quantizers.request import Prepared, QuantizationRequest
from quantizers.target import check_ranks, check_target
from registry.config import Settings
from registry.errors import IncompatibleError, UsageError
from registry.names import check_name
from registry.progress import Observer
from registry.resolve import resolve
from toolchains import CATALOGUE, Toolchain, find_toolchain, spec_of


def prepare(request: QuantizationRequest, settings: Settings, observe: Observer) -> Prepared:
    """Find what a request names, and refuse what would fail; the cheapest checks come first.

    Raises:
        UsageError, NotFoundError, IntegrityError, IncompatibleError: see `quantizers.preflight`,
            `quantizers.target` and the quantizer's own `check`.
        NotAllowedError: code of the model may run, and a part of it is in another repository.
    """
    check_name(request.name)
    mode_of(request.evaluate)
    quantizer = open_quantizer(request.tool)
    resolved = resolve(request.source, settings, observe=observe)
    if resolved.folder is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine",
            remedy="Pull it first, and quantize the folder.",
        )
    output = request.output or (
        settings.outputs / request.name / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    )
    source, output = resolved.folder.absolute(), output.absolute().resolve()
    checkpoint = check_source(source, output)
    check_ranks(checkpoint, request.target)
    quantizer.check_output(output)
    wanted = _toolchain(quantizer, request, quantizer.toolchain_for(checkpoint, request.options))

    def toolchain() -> Toolchain:
        return find_toolchain(wanted, settings)

    recipe = quantizer.load_recipe(request.recipe, request.options, toolchain)
    if request.recipe_name:
        recipe = replace(recipe, name=request.recipe_name)
    request = _settled(request, quantizer, recipe)
    intent = quantizer.intent(checkpoint, recipe)
    check_recipe_fits(checkpoint, recipe, intent)
    notes = check_target(intent, recipe.name, request.target)
    untouched = request.options.untouched
    calibration = find_calibration(
        recipe, request.calibration, untouched="calibration" in untouched
    )
    anti = _anti_dataset(recipe, request.anti_dataset, untouched="anti_dataset" in untouched)
    check_evaluation_text(request.evaluation_text)
    notes += quantizer.check(checkpoint, recipe, request.options)
    check_resources(quantizer.estimate(checkpoint, recipe), output)
    found = toolchain()
    quantizer.check_toolchain(checkpoint, request.options, found)
    code = check_code(source, request.options.trust_remote_code, observe)
    for note in notes:
        observe(note)
    return Prepared(
        request,
        quantizer,
        recipe,
        found,
        source,
        resolved.snapshot.manifest.name if resolved.snapshot else source.resolve().name,
        checkpoint,
        output,
        intent,
        calibration or quantizer.default_set(recipe, "calibration", found),
        anti or quantizer.default_set(recipe, "anti_dataset", found),
        code,
        quantizer.state(recipe),
    )


def _toolchain(quantizer: Quantizer, request: QuantizationRequest, usual: str) -> str:
    """The toolchain that a user names, if the tool is in it; else the usual one for the model."""
    if not request.toolchain:
        return usual
    package = spec_of(usual).distribution
    if spec_of(request.toolchain).distribution != package:
        able = [spec.name for spec in CATALOGUE if spec.distribution == package]
        choice = f"{quantizer.name} runs in {' or '.join(able)}; qreg takes {usual} for this model."
        raise UsageError(
            f"Toolchain {request.toolchain} is none of {quantizer.name}'s",
            remedy=f"Leave out --toolchain{f'. {choice}' if able[1:] else ': there is but one.'}",
        )
    return request.toolchain


def _anti_dataset(recipe: Recipe, given: Path | None, *, untouched: bool) -> CalibrationSet | None:
    if given is None:
        return None
    if recipe.tool != "modelslim" or recipe.body.get("apiversion", "script") == "modelslim_v1":
        raise UsageError(
            f"Recipe {recipe.name} smooths with the calibration set, and takes no --anti-dataset",
            remedy="Leave it out; ModelSlim's scripts and practices of modelslim_v0 take one.",
        )
    return find_calibration(recipe, given, untouched=untouched)


def _settled(
    request: QuantizationRequest, quantizer: Quantizer, recipe: Recipe
) -> QuantizationRequest:
    """The request with sets in their place that are named among a script's arguments."""
    sets, options = quantizer.settle(recipe, request.options)
    for use in sets:
        if getattr(request, use) is not None:
            option = f"--{use.replace('_', '-')}"
            raise UsageError(
                f"Two sets are named for {option}: {getattr(request, use)} and, after -- , "
                f"{sets[use]}",
                remedy="Name one of them.",
            )
    return replace(
        request,
        options=options,
        calibration=sets.get("calibration", request.calibration),
        anti_dataset=sets.get("anti_dataset", request.anti_dataset),
    )
