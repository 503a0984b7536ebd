"""ModelSlim (msmodelslim 26.1) as a quantizer: its one-click command, and its older scripts."""

from quantizers.modelslim.quantizer import ModelSlim

__all__ = ["ModelSlim"]
