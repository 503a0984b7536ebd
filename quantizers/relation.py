"""Whether an artifact can have been made from a base, and whether qreg itself made it."""

from __future__ import annotations

from pathlib import Path

from quantizers.coverage import linear_modules
from registry.checkpoint.facts import Facts
from registry.checkpoint.quantization import quantization_config
from registry.checkpoint.quantization.layers import FLOAT
from registry.describe import read_manifest
from registry.errors import IncompatibleError


def require_foreign(folder: Path) -> None:
    """Refuse what qreg made: adopting it would put claims in place of what is on record.

    Raises:
        IncompatibleError: the folder's manifest says how it was quantized, converted or mended.
    """
    manifest = read_manifest(folder)
    if manifest is not None and {"toolchain", "derived_from"} & manifest.provenance.keys():
        raise IncompatibleError(
            f"{folder} was made by qreg: its qreg.json tells how",
            remedy=f"Publish it as it is, with all of that: qreg publish {folder} . If it was "
            "changed since, remove its qreg.json to adopt what it is now.",
        )


def check_base(facts: Facts, source: Facts) -> None:
    """An artifact can be made from a base; raises IncompatibleError with what contradicts it."""
    label, other = facts.checkpoint.label, source.checkpoint.label
    method = facts.quantization.method
    if method == "none" or all(x.scheme == FLOAT for x in facts.quantization.layers):
        raise IncompatibleError(
            f"{label} is not quantized", remedy="Publish it as it is: qreg publish ."
        )
    if source.checkpoint.description is not None or quantization_config(source.checkpoint.config):
        raise IncompatibleError(f"The base {other} is quantized", remedy="Name the float model.")
    ours, theirs = facts.architecture, source.architecture
    for field in ("model_type", "layers", "hidden_size", "heads", "kv_heads", "experts"):
        have, want = getattr(ours, field), getattr(theirs, field)
        if have is not None and want is not None and have != want:
            raise IncompatibleError(
                f"{label} cannot come from {other}: its {field} is {have}, there it is {want}",
                remedy="Name the model that it was quantized from with --base .",
            )
    modules = {module for module, _ in linear_modules(source.checkpoint, theirs.layers)}
    strange = [x.module for x in facts.quantization.layers if x.module not in modules]
    # A head that is tied is stored once in the base, and often written out by the tools.
    strange = [m for m in strange if m != "lm_head" and not m.startswith("mtp.")]
    if len(strange) > len(facts.quantization.layers) // 2:
        raise IncompatibleError(
            f"{label} cannot come from {other}, which has no {strange[0]}",
            remedy="Name the model that it was quantized from with --base .",
        )
