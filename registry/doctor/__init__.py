"""Looking at what qreg needs of this machine and of the services that it talks to.

One small function a check; each yields what it found and how to mend it. `serving.doctor` looks at
devices, drivers and engines.
"""

from registry.doctor.check import ERROR, OK, STATUSES, UNKNOWN, WARNING, Check, Look, run_looks

__all__ = [
    "ERROR",
    "OK",
    "STATUSES",
    "UNKNOWN",
    "WARNING",
    "Check",
    "Look",
    "run_looks",
]
