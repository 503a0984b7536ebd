"""What a quantization did to a model: its weights against the base's, and what it predicts."""

from __future__ import annotations

import heapq
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantizers.consent import check_code
from quantizers.quality.asked import check_asked, here, name_of
from quantizers.quality.budget import Budget
from quantizers.quality.comparability import incomparable_layers
from quantizers.quality.histograms import Histograms
from quantizers.quality.perplexity import FLOAT as FLOAT_MODEL
from quantizers.quality.perplexity import OTHER as OTHER_MODEL
from quantizers.quality.perplexity import QUANTIZED as QUANTIZED_MODEL
from quantizers.quality.perplexity import Perplexity, measure_perplexity
from quantizers.quality.text import held_out_text
from quantizers.quality.weights import LEFT_OUT, LayerError, Sums, compare_weights
from registry.artifact import Digest
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import Facts, read_facts
from registry.checkpoint.quantization.layers import FLOAT
from registry.clock import utc_now
from registry.config import Settings
from registry.describe import read_manifest
from registry.errors import UsageError
from registry.evidence import record_evidence
from registry.lint.fix import require_relation
from registry.progress import Observer, ignore
from registry.resolve import Resolved
from toolchains import find_toolchain

_LARGEST_RECIPE = 2**20  # bytes
_RECIPES = re.compile(r"recipe\.yaml|.*_best_practice\.yaml")


@dataclass(frozen=True)
class Quality:
    """What was measured of a quantized model.

    Attributes:
        name: of the artifact.
        reference: finds it again.
        digest: of the artifact as its manifest tells it; None without one.
        base: finds the base again.
        layers: every quantized layer, in the order of the checkpoint.
        left_float: how many linear layers are not quantized.
        histograms: of weights and scales.
        functional: perplexity and divergence; None where they were not measured.
        against: what another artifact is called whose predictions stand beside; empty without one.
    """

    name: str
    reference: str
    digest: Digest | None
    base: str
    layers: tuple[LayerError, ...]
    left_float: int
    histograms: Histograms
    functional: Perplexity | None = None
    against: str = ""

    @property
    def total(self) -> Sums | None:
        """All comparable layers as one; None if there is none."""
        measured = [layer.sums for layer in self.layers if layer.sums]
        return sum(measured, Sums()) if measured else None

    @property
    def left_out(self) -> int:
        """Quantized layers that there was no time to compare."""
        return sum(layer.reason == LEFT_OUT for layer in self.layers)

    def groups(self) -> dict[tuple[str, str], tuple[LayerError, ...]]:
        """Layers by kind and scheme."""
        found: dict[tuple[str, str], list[LayerError]] = {}
        for layer in self.layers:
            found.setdefault((layer.kind, layer.scheme), []).append(layer)
        return {key: tuple(layers) for key, layers in sorted(found.items())}

    def worst(self, count: int) -> list[LayerError]:
        """The layers of the lowest SQNR, the lowest first."""
        measured = [layer for layer in self.layers if layer.sqnr is not None]
        return heapq.nsmallest(count, measured, key=lambda layer: layer.sqnr or 0.0)

    def to_json(self) -> dict[str, Any]:
        """All figures; SQNR in dB, null where there is no error at all or no number."""
        total = self.total
        return {
            "name": self.name,
            "reference": self.reference,
            "digest": str(self.digest) if self.digest else None,
            "base": self.base,
            "weights": _figures(total) if total else None,
            "groups": [
                {
                    "kind": kind,
                    "scheme": scheme,
                    "layers": len(layers),
                    "compared": sum(layer.sums is not None for layer in layers),
                    **_spread(layers),
                }
                for (kind, scheme), layers in self.groups().items()
            ],
            "left_float": self.left_float,
            "left_out": self.left_out,
            "layers": [
                {
                    "module": layer.module,
                    "kind": layer.kind,
                    "scheme": layer.scheme,
                    "layer": layer.number,
                    **_figures(layer.sums),
                    "reason": layer.reason,
                }
                for layer in self.layers
            ],
            "functional": self.functional.to_json() if self.functional else None,
            "against": self._beside(),
            "histograms": self.histograms.to_json(),
        }

    def _beside(self) -> dict[str, Any] | None:
        if self.functional is None or not self.against:
            return None
        return {"name": self.against, **self.functional.figures_of(OTHER_MODEL)}

    def metrics(self) -> dict[str, float]:
        """The figures that an experiment tracks."""
        found = {}
        if self.functional is not None:
            figures = self.functional.figures().items()
            found.update({name.replace("_", "/", 1): value for name, value in figures})
        total = self.total
        if total is not None and total.sqnr is not None:
            found["weights/sqnr_db"] = total.sqnr
            found["weights/cosine"] = total.cosine or 0.0
            found["weights/sqnr_db_worst"] = _spread(self.layers)["sqnr_worst"]
        if self.functional is not None:
            found["perplexity/tokens"] = float(self.functional.tokens)
        if self.left_out:
            found["weights/layers_left_out"] = float(self.left_out)
        found["weights/layers_compared"] = float(sum(e.sums is not None for e in self.layers))
        return found


def measure_quality(
    quantized: Resolved,
    base: Resolved,
    settings: Settings,
    *,
    against: Resolved | None = None,
    text: Path | None = None,
    weights_only: bool = False,
    trust_remote_code: bool = False,
    observe: Observer = ignore,
) -> Quality:
    """Compare weights and predictions of a quantized model with those of its base.

    The figures are appended to the evidence of the artifact's digest, where it has one.

    Args:
        quantized: on this machine.
        base: the model that it was made from, on this machine.
        settings: where the toolchain is, and where there is room.
        against: another artifact of the same base, whose predictions and answers stand beside.
        text: what shall be predicted; by default the text that ships with qreg.
        weights_only: leave predictions out.
        trust_remote_code: whether the models' own Python code may run.
        observe: is told what is done.

    Raises:
        UsageError: the text is no text, or not wanted with the weights alone, as `against` is not.
        IncompatibleError, IntegrityError: see `measure_weights`; or the format cannot be simulated,
            or `against` is of another architecture.
        NotAllowedError: a model needs Python code of its own that nobody allowed, or that is in
            another repository.
        NotFoundError: the toolchain llmcompressor is not installed.
        ToolError: a model does not load, or predicts nothing finite.
    """
    check_asked(base, against, text, weights_only)
    toolchain = None if weights_only else find_toolchain("llmcompressor", settings)
    found = measure_weights(quantized, base, observe=observe)
    if toolchain is not None and quantized.folder and base.folder:
        models = {FLOAT_MODEL: base.folder.absolute(), QUANTIZED_MODEL: quantized.folder.absolute()}
        if against is not None:
            models[OTHER_MODEL] = here(against).absolute()
        for model in models.values():
            check_code(model, trust_remote_code, observe)
        settings.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".quality-", dir=settings.data) as folder:
            work = Path(folder)
            if text is None:
                text = work / "held-out.txt"
                text.write_text(held_out_text(), encoding="utf-8")
            functional = measure_perplexity(
                models,
                text.absolute(),
                toolchain,
                work=work,
                log=settings.new_log(f"quality-{found.name}"),
                trust_remote_code=trust_remote_code,
                observe=observe,
            )
        beside = name_of(against) if against is not None else ""
        if against is not None and beside == found.name:
            beside = against.reference
        found = replace(found, functional=functional, against=beside)
    if found.digest is not None:
        entry = {
            "kind": "quality",
            "time": utc_now(),
            "digest": str(found.digest),
            "base": found.base,
            "figures": found.metrics(),
        }
        record_evidence(settings, found.digest, entry)
    return found


def measure_weights(
    quantized: Resolved,
    base: Resolved,
    *,
    name: str = "",
    provenance: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    observe: Observer = ignore,
) -> Quality:
    """Compare the weights of a quantized model with those of its base.

    Args:
        quantized: on this machine.
        base: the model that it was made from, on this machine.
        name: what to call it; default: as its manifest does, or its folder.
        provenance: where it comes from; default: what its manifest says.
        budget: the time that it may take; None: all that it takes.
        observe: is told the bytes read.

    Raises:
        UsageError: nothing is quantized.
        IncompatibleError: either is not here, or they are not of one architecture.
        NotFoundError, IntegrityError: either is no whole checkpoint.
    """
    ours, theirs = _facts(quantized), _facts(base)
    require_relation(base.source, quantized.source)
    layers = ours.quantization.layers
    if all(la.scheme == FLOAT for la in layers) and not ours.quantization.computations:
        raise UsageError(
            f"Nothing in {quantized.reference} is quantized, so that there is nothing to measure",
            remedy="Name the quantized artifact first, and the model that it was made from as "
            "--base.",
        )
    manifest = read_manifest(quantized.folder) if quantized.folder else None
    if provenance is None:
        provenance = manifest.provenance if manifest else {}
    histograms = Histograms()
    return Quality(
        name=name or name_of(quantized),
        reference=quantized.reference,
        digest=manifest.digest if manifest else None,
        base=base.reference,
        layers=compare_weights(
            ours,
            theirs,
            incomparable=incomparable_layers(ours, theirs, provenance, _recipes(quantized)),
            histograms=histograms,
            budget=budget,
            observe=observe,
        ),
        left_float=sum(layer.scheme == FLOAT for layer in layers),
        histograms=histograms,
    )


def _facts(resolved: Resolved) -> Facts:
    here(resolved)
    return read_facts(open_checkpoint(resolved.source))


def _recipes(resolved: Resolved) -> dict[str, str]:
    """Recipe files that the tools leave beside the weights, by name."""
    files = open_checkpoint(resolved.source).files
    return {
        path: resolved.source.read(path, 0, size).decode(errors="replace")
        for path, size in files.items()
        if _RECIPES.fullmatch(path) and size <= _LARGEST_RECIPE
    }


def _figures(sums: Sums | None) -> Mapping[str, Any]:
    if sums is None:
        return {"sqnr": None, "cosine": None, "parameters": None}
    return {"sqnr": sums.sqnr, "cosine": sums.cosine, "parameters": sums.elements}


def _spread(layers: tuple[LayerError, ...]) -> dict[str, Any]:
    """All of them as one, and the worst of them."""
    measured = [layer.sums for layer in layers if layer.sums]
    together = sum(measured, Sums())
    each = [sums.sqnr for sums in measured if sums.sqnr is not None]
    return {
        "sqnr": together.sqnr,
        "sqnr_worst": min(each, default=None),
        "cosine": together.cosine,
        "parameters": together.elements,
    }
