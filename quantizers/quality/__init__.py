"""Measuring what a quantization did to a model."""
