"""Asks Linux for the tile registers of Intel's AMX, where the processor has them.

Linux grants them to processes that ask (Documentation/arch/x86/xstate.rst); who uses them without
is killed by SIGILL. The attention kernels of vLLM's CPU build (0.32.0) use them without asking:
that works only where oneDNN has asked before, for larger layers. The permission ends with exec, so
each process has to ask for itself.
"""

import ctypes
import os

_ARCH_PRCTL = 158  # the system call's number on x86-64 alone
_ARCH_REQ_XCOMP_PERM = 0x1023
_XTILEDATA = 18


def _has_tiles() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return "amx_tile" in flags.split()


if os.uname().machine == "x86_64" and _has_tiles():
    # A refusal changes nothing: then the tiles are as closed as before.
    ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA)
