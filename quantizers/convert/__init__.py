"""From one quantizer's format to the other's, where both say the same; no weight is computed."""

from quantizers.convert.run import FORMATS, Converted, convert

__all__ = ["FORMATS", "Converted", "convert"]
