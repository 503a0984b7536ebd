"""Failures of tools that are known: how they show in the log, what they mean, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST = 2**20  # characters of a log's end that are looked through


@dataclass(frozen=True)
class KnownFailure:
    """One failure.

    Attributes:
        sign: a regular expression that finds it in the log.
        what: what happened, as the end of a sentence.
        remedy: what to do next.
    """

    sign: str
    what: str
    remedy: str


def recognise(log: str, known: Iterable[KnownFailure]) -> KnownFailure | None:
    """The first of the known failures that the end of a log shows, or None."""
    tail = log[-_LONGEST:]
    return next((failure for failure in known if re.search(failure.sign, tail, re.MULTILINE)), None)


# What every tool on torch and transformers can meet.
SHARED = (
    KnownFailure(
        r"No space left on device",
        "the disk is full",
        "Free disk space or choose another --output, then run again.",
    ),
    KnownFailure(
        r"Disk quota exceeded",
        "the disk quota is used up",
        "Free space or choose another --output, then run again.",
    ),
    KnownFailure(
        r"NPU out of memory|EL0004|EE9999.*memory",
        "the NPU has too little memory",
        "Use several NPUs (--device npu:0,1,…), fewer calibration samples, or shorter ones.",
    ),
    KnownFailure(
        r"DefaultCPUAllocator: can't allocate memory|^MemoryError",
        "memory ran out",
        "Use a machine with more memory, or fewer calibration samples.",
    ),
    KnownFailure(
        r"trust_remote_code=True|contains custom code which must be executed",
        "the model brings Python code of its own",
        "Read that code, then add --trust-remote-code .",
    ),
    KnownFailure(
        r"does not recognize this architecture|Unrecognized configuration class|"
        r"Unrecognized model in",
        "this toolchain's transformers does not know the model",
        "Choose a toolchain with another transformers (--toolchain, `qreg toolchain list`), or an "
        "environment of yours: qreg toolchain use NAME --python PATH .",
    ),
    KnownFailure(
        r"requires (?:the following packages|.* library) .*not found|No module named",
        "a package that the model or script needs is not in the toolchain",
        "Name an environment of yours that has it: qreg toolchain use NAME --python PATH .",
    ),
)
