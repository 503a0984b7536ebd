"""Whether a model's own Python code may run: the user of this command says so, nobody else."""

from __future__ import annotations

import re
from pathlib import Path

from registry.artifact import Digest
from registry.checkpoint.remote_code import RemoteCode, code_of, trusted_code
from registry.errors import IntegrityError, NotAllowedError
from registry.progress import Note, Observer

# What transformers says where it is not told to trust (4.48 to 5.19).
_NEEDED = re.compile(r"trust_remote_code=True|contains custom code which must be executed")


def check_code(folder: Path, trusted: bool, observe: Observer) -> RemoteCode | None:
    """Say which code of a model may run, or that none does.

    Args:
        folder: of the model.
        trusted: whether the user of this command allows it.
        observe: is told the files and one digest over them.

    Returns:
        The code that may run; None where none may, or where there is none.

    Raises:
        NotAllowedError: it is allowed, and a part of it is in another repository.
    """
    if trusted:
        code = trusted_code(folder, folder.name, observe)
        return code if code.files else None
    code = code_of(folder)
    if code.wanted:
        observe(Note(f"{folder.name} brings Python code, which is not run: {code}"))
    return None


def check_recorded_code(
    folder: Path, ran: bool, recorded: Digest | None, trusted: bool
) -> Digest | None:
    """Hold the code of a float model against that which a recorded quantization ran.

    A record that says that code was trusted is no consent: it asks for one.

    Args:
        folder: of the float model, with the recorded digest.
        ran: whether the record says that code was trusted.
        recorded: the digest of that code, where the record has one.
        trusted: whether the user of this command allows it.

    Raises:
        NotAllowedError: code ran then, and is not allowed now.
        IntegrityError: it is other code.
    """
    if not ran:
        return None
    code = code_of(folder)
    if code.files and not trusted:
        raise NotAllowedError(
            f"It was made with Python code of {folder.name}, which runs only if you say so: {code}",
            remedy="Read those files, then add --trust-remote-code .",
        )
    if recorded is not None and code.digest != recorded:
        raise IntegrityError(
            f"The Python code of {folder.name} is not what ran then: it is {code}, recorded is "
            f"{recorded}",
            remedy="Name the folder that was used: --source FOLDER .",
        )
    return code.digest


def needs_code(log: str) -> bool:
    """Whether a log says that a model cannot be loaded without its own code."""
    return _NEEDED.search(log) is not None
