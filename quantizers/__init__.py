"""Making quantized artifacts: recipes, the tools that carry them out, what they did to quality."""

from quantizers.run import QuantizationRequest, QuantizationResult, quantize

__all__ = ["QuantizationRequest", "QuantizationResult", "quantize"]
