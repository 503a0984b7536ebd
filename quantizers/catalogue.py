"""Which class carries out which `--tool`: built-in ones, then the `qreg.quantizers` plug-ins."""

from __future__ import annotations

from quantizers.interface import Quantizer
from registry.errors import NotFoundError

BUILT_IN = ("llmcompressor", "modelslim")
PLUGINS = "qreg.quantizers"


def open_quantizer(name: str) -> Quantizer:
    """A quantizer for one job; raises NotFoundError for an unknown name."""
    if name == "llmcompressor":
        from quantizers.llmcompressor import LLMCompressor

        return LLMCompressor()
    if name == "modelslim":
        from quantizers.modelslim import ModelSlim

        return ModelSlim()
    from importlib.metadata import entry_points

    for plugin in entry_points(group=PLUGINS, name=name):
        quantizer: Quantizer = plugin.load()()
        return quantizer
    raise NotFoundError(
        f"There is no quantizer {name!r}",
        remedy="This release quantizes with --tool llmcompressor and --tool modelslim; others come "
        f"in as plug-ins of the entry-point group {PLUGINS!r}.",
    )
