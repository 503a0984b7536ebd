"""The environment that Python workers in toolchains run in."""

from __future__ import annotations

import os


def worker_env() -> dict[str, str]:
    """No telemetry, no hub, no surprises."""
    return {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
    }
