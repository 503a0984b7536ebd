"""LLM-Compressor (llmcompressor 0.14) as a quantizer."""

from quantizers.llmcompressor.environment import worker_env
from quantizers.llmcompressor.quantizer import LLMCompressor

__all__ = ["LLMCompressor", "worker_env"]
