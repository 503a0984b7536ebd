"""What `qreg quantize --recipes` shows."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from qreg.cli.common import find
from qreg.cli.output import Output, styled
from registry.config import Settings
from registry.errors import IncompatibleError

if TYPE_CHECKING:
    from rich.console import Console

    from quantizers.offers import Offer
    from registry.checkpoint import Checkpoint


def list_recipes(output: Output, settings: Settings, source: str, tool: str) -> None:
    """List the recipes there are, or those for a model.

    Args:
        output: takes them.
        settings: find the model and the toolchains.
        source: the float model; empty: only what ships with qreg is listed.
        tool: one tool alone; empty for all.
    """
    from quantizers.offers import offers

    checkpoint = _checkpoint(output, settings, source) if source else None
    found, missing = offers(settings, checkpoint, tool)
    document = {"source": source or None, "recipes": [asdict(offer) for offer in found]}
    fitting = [offer for offer in found if offer.fits is not False]
    others = [offer for offer in found if offer.fits is False]

    def human(console: Console) -> None:
        for name, rows in groupby(fitting, key=lambda offer: offer.tool):
            console.print(f"{name}:")
            _draw(console, list(rows))
        if others:
            console.print(f"not for {source}:")
            for offer in others:
                why = (offer.reason, "dim")
                console.print(styled(f"  {offer.recipe}  ", why))
        if checkpoint is None:
            console.print("Name a model to see what fits it, and ModelSlim's own practices for it.")

    output.result(document, human, essential="\n".join(offer.recipe for offer in fitting))
    for text in missing:
        output.note(text, warning=True)


def _checkpoint(output: Output, settings: Settings, source: str) -> Checkpoint:
    from registry.checkpoint import open_checkpoint

    resolved = find(source, settings, output)
    if resolved.folder is None:
        raise IncompatibleError(
            f"{resolved.reference} is not on this machine",
            remedy="Pull it first, and name the folder.",
        )
    return open_checkpoint(resolved.folder)


def _draw(console: Console, offers: list[Offer]) -> None:
    width = max(len(offer.recipe) for offer in offers)
    for offer in offers:
        data = (" (calibration)", "dim") if offer.calibrates else ""
        console.print(styled(f"  {offer.recipe:<{width}} {offer.title}", data))
