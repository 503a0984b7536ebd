"""Whether an artifact fits a machine, and how it is best spread over its devices."""

from serving.fit.cpu import CPU_OVERHEAD, GIB, fit_cpu
from serving.fit.fit import Fit, Layout

__all__ = ["CPU_OVERHEAD", "GIB", "Fit", "Layout", "fit_cpu"]
