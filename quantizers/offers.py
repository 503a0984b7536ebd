"""Recipes to choose from: those that ship with qreg, and those that a tool brings for a model."""

from __future__ import annotations

from dataclasses import dataclass

from quantizers.catalogue import BUILT_IN, open_quantizer
from quantizers.interface import Options, Quantizer
from quantizers.preflight import check_recipe_fits
from quantizers.recipe import shipped
from registry.checkpoint import Checkpoint
from registry.config import Settings
from registry.errors import NotFoundError, QregError
from toolchains import Toolchain, find_toolchain


@dataclass(frozen=True)
class Offer:
    """One recipe.

    Attributes:
        tool: that carries it out.
        recipe: what `--recipe` takes.
        title: one line for people.
        calibrates: whether it looks at activations.
        fits: whether it fits the model; None where none was named.
        reason: why it does not.
    """

    tool: str
    recipe: str
    title: str
    calibrates: bool
    fits: bool | None = None
    reason: str = ""


def offers(
    settings: Settings, checkpoint: Checkpoint | None = None, tool: str = ""
) -> tuple[list[Offer], list[str]]:
    """Recipes, those for a model if one is given, and what could not be looked at.

    Args:
        settings: name the toolchains, in which tools bring recipes of their own.
        checkpoint: of a float model; None: only what ships with qreg is listed.
        tool: one tool alone; empty for all that are built in.
    """
    found: list[Offer] = []
    missing: list[str] = []
    for name in [tool] if tool else BUILT_IN:
        quantizer = open_quantizer(name)
        found += [_offer(quantizer, text, checkpoint, None) for text in shipped(name)]
        if checkpoint is None:
            continue
        try:
            toolchain = _toolchain(quantizer, checkpoint, settings)
        except NotFoundError as error:
            missing.append(f"What {name} itself brings is not listed: {error.message}")
            continue
        found += [
            _offer(quantizer, text, checkpoint, toolchain)
            for text in quantizer.practices(checkpoint, toolchain)
        ]
    return found, missing


def _toolchain(quantizer: Quantizer, checkpoint: Checkpoint, settings: Settings) -> Toolchain:
    """The toolchain for a model; the tool's usual one brings the same recipes."""
    try:
        return find_toolchain(quantizer.toolchain_for(checkpoint, Options()), settings)
    except NotFoundError:
        return find_toolchain(quantizer.toolchain, settings)


def _offer(
    quantizer: Quantizer, text: str, checkpoint: Checkpoint | None, toolchain: Toolchain | None
) -> Offer:
    options = Options()

    def installed() -> Toolchain:
        assert toolchain is not None  # only what a tool brings asks for it
        return toolchain

    recipe = quantizer.load_recipe(text, options, installed)
    calibrates = recipe.calibration is not None
    if checkpoint is None:
        return Offer(quantizer.name, text, recipe.title, calibrates)
    try:
        check_recipe_fits(checkpoint, recipe, quantizer.intent(checkpoint, recipe))
        quantizer.check(checkpoint, recipe, options)
    except QregError as error:
        return Offer(quantizer.name, text, recipe.title, calibrates, False, error.message)
    return Offer(quantizer.name, text, recipe.title, calibrates, True)
