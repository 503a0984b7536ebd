"""This machine's processor and memory."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from serving.hardware.profile import Hardware


def detect_cpu() -> Hardware:
    """The CPU profile of this machine: cores this process may use, memory that is there in all.

    The memory is the installed one, or the container's limit where that is less, so that a plan
    does not change with what else runs at the moment.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        pass  # no cgroup v2, or no limit ("max")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Hardware(f"CPU {platform.machine()}", "cpu", 1, memory, cores or 1)
