"""Making quantized artifacts: recipes, the tools that carry them out, what they did to quality."""

from quantizers.request import QuantizationRequest, QuantizationResult
from quantizers.run import quantize

__all__ = ["QuantizationRequest", "QuantizationResult", "quantize"]
