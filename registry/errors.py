"""Every failure that qreg reports, and the exit code it ends with.

    QregError
    ├── CheckFailed        1    a check ran and found faults
    ├── UsageError         2    the request itself cannot be carried out as written
    ├── NotFoundError      3    a name, revision, file or tool does not exist
    │   └── UncertainError 3  … where it was looked for, which proves nothing
    ├── NotAllowedError    4    permissions or policy forbid it
    ├── IntegrityError     5    bytes are not what their digest, header or index says
    ├── IncompatibleError  6    it does not fit this model, tool, release or machine
    ├── TransferError      7    moving bytes failed
    │   └── TransientError 7    … in a way that may be over when it is tried again
    ├── ToolError          8    a quantizer, engine or installer failed
    └── Interrupted      130    SIGINT or SIGTERM

A message says what was being done and what was found; `remedy` says what to do next.
Only `qreg.cli` turns these into text and exit codes.
"""

from __future__ import annotations

from registry.urls import without_credentials


class QregError(Exception):
    """Base of all errors that qreg raises on purpose.

    Args:
        message: what was being done and what was found, in one sentence.
        remedy: what the user can do next; empty only when there is nothing to do.
        details: verbatim lines that belong to the failure, such as the end of a tool's log.
    """

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", details: str = "") -> None:
        message = without_credentials(message)
        super().__init__(message)
        self.message = message
        self.remedy = without_credentials(remedy)
        self.details = without_credentials(details)


class CheckFailed(QregError):
    """A check ran to its end and found faults."""

    kind = "check-failed"
    exit_code = 1


class UsageError(QregError):
    """The request cannot be carried out as written."""

    kind = "usage"
    exit_code = 2


class NotFoundError(QregError):
    """Something that was named does not exist."""

    kind = "not-found"
    exit_code = 3


class UncertainError(NotFoundError):
    """It was not found, and whoever was asked cannot tell that it does not exist.

    The place itself is not there, such as a bucket, or what it names lies elsewhere and is gone.
    """


class NotAllowedError(QregError):
    """Permissions or policy forbid what was asked."""

    kind = "not-allowed"
    exit_code = 4


class IntegrityError(QregError):
    """Bytes are not what their digest, header or index says."""

    kind = "integrity"
    exit_code = 5


class IncompatibleError(QregError):
    """What was asked does not fit this model, tool, release or machine."""

    kind = "incompatible"
    exit_code = 6


class TransferError(QregError):
    """Moving bytes between a store and this machine failed."""

    kind = "transfer"
    exit_code = 7


class TransientError(TransferError):
    """A failure of the network or of a server that may be over when it is tried again.

    Attributes:
        retry_after: seconds that the server asks to wait; None if it does not say.
    """

    def __init__(self, message: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class ToolError(QregError):
    """A quantizer, engine or installer that qreg started has failed."""

    kind = "tool"
    exit_code = 8


class Interrupted(QregError):
    """SIGINT or SIGTERM asked for the work to stop."""

    kind = "interrupted"
    exit_code = 130
