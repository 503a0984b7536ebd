"""What ended an engine: the first error in its whole log, and what to do about known ones.

`log` reads the lines, `cause` finds the root cause, `shared`, `cpu`, `cuda` and `ascend` hold what
is known, a row a failure. `busy` refuses to start where the engine would fail for want of memory.
"""

from serving.failures.ascend import ASCEND
from serving.failures.busy import require_free_memory
from serving.failures.cause import RootCause, root_cause
from serving.failures.cpu import CPU
from serving.failures.cuda import CUDA
from serving.failures.ended import ended, never_ready
from serving.failures.known import KnownFailure
from serving.failures.log import read_log
from serving.failures.shared import SHARED

__all__ = [
    "ASCEND",
    "CPU",
    "CUDA",
    "SHARED",
    "KnownFailure",
    "RootCause",
    "ended",
    "never_ready",
    "read_log",
    "require_free_memory",
    "root_cause",
]
