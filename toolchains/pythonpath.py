"""What of this environment an interpreter of a toolchain sees.

Nothing of the user's working folder or home may shadow a tool's modules. `python -I` gives that,
but drops PYTHONPATH, too, where CANN puts modules that NPUs need (`tbe`, `te`). So it is chosen:

- an interpreter that the user named (`qreg toolchain use`) is the vendor's environment and gets
  PYTHONPATH as it is, but for entries that mean the working folder;
- a toolchain that qreg installed from a lock gets CANN's entries alone: any other module that lies
  before its own, or that it finds beside them (`flash_attn` is enough), makes it another toolchain
  than the lock says;
- a script of the user's gets PYTHONPATH as it is in any toolchain: its modules may be there.

Other variables by which Python starts differently (PYTHONHOME, PYTHONSTARTUP, …) are emptied, which
Python reads as unset.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from toolchains.cann import Cann, is_of_cann

_UNWANTED = (
    "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONOPTIMIZE",
    "PYTHONDEBUG", "PYTHONVERBOSE", "PYTHONUSERBASE", "PYTHONWARNINGS",
)  # fmt: skip


def start_environment(environ: Mapping[str, str], cann: Cann, *, own: bool) -> dict[str, str]:
    """What to add to an environment for an interpreter.

    Args:
        environ: of this process.
        cann: what CANN's scripts set besides.
        own: whether the user named the interpreter, so that all of PYTHONPATH is for it.
    """
    together = {**environ, **cann.variables}
    found = dict(cann.variables)
    entries = together.get("PYTHONPATH", "").split(os.pathsep)
    kept = [e for e in entries if e.startswith("/") and (own or is_of_cann(e, together))]
    if kept or environ.get("PYTHONPATH"):
        found["PYTHONPATH"] = os.pathsep.join(kept)
    return {**found, **{name: "" for name in _UNWANTED if environ.get(name)}}
