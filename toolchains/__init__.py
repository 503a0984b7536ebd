"""Isolated Python environments for quantizers and engines, and running tools in them.

A tool's process is always a child of a small supervisor, so that neither an interruption nor the
sudden death of qreg leaves any of the tool's processes behind.
"""

from toolchains.catalogue import CATALOGUE, Spec, spec_of
from toolchains.installed import Toolchain, find_toolchain
from toolchains.process import Finished, Tool, run_tool

__all__ = [
    "CATALOGUE",
    "Finished",
    "Spec",
    "Tool",
    "Toolchain",
    "find_toolchain",
    "run_tool",
    "spec_of",
]
