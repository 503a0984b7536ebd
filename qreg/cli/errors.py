"""How failures are shown: one sentence, the details, what to do; or one JSON document."""

from __future__ import annotations

import signal
import sys

import click

from qreg.cli.output import json_text, write_line
from qreg.cli.streams import give_up_broken_streams
from registry.errors import Interrupted, NotAllowedError, QregError, TransferError, UsageError

READER_GONE = 128 + signal.SIGPIPE  # as other programs end when whoever reads has enough


def report(error: BaseException, *, as_json: bool) -> int:
    """Show an error and return the exit code.

    An error that is not ours is a fault of qreg: its traceback is shown, with exit code 70
    (EX_SOFTWARE), never hidden behind a friendly sentence.
    """
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError) and give_up_broken_streams():
        return READER_GONE
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        write_line(error.format_message(), sys.stdout)
        return UsageError.exit_code
    known = _as_ours(error)
    if known is None:
        import traceback

        write_line("".join(traceback.format_exception(error)).rstrip(), sys.stderr)
        return 70
    try:
        _show(known, as_json=as_json)
    except OSError:  # the disk behind the output is full, or its reader is gone
        return TransferError.exit_code
    return known.exit_code


def _show(known: QregError, *, as_json: bool) -> None:
    if as_json:
        content = {
            "kind": known.kind,
            "message": known.message,
            "remedy": known.remedy,
            "exit_code": known.exit_code,
        }
        if known.details:
            content["details"] = known.details
        write_line(json_text({"error": content}), sys.stdout)
    else:
        _print(known)


def _as_ours(error: BaseException) -> QregError | None:
    if isinstance(error, QregError):
        return error
    if isinstance(error, KeyboardInterrupt | click.Abort):
        # click raises its own error in place of the one that says which signal it was.
        signal = str(error) or str(error.__cause__ or "")
        return Interrupted(f"Stopped by {signal or 'Ctrl-C'}")
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "qreg"
        hint = (
            " Arguments of the engine go after -- ."
            if isinstance(error, click.NoSuchOption)
            else ""
        )
        return UsageError(error.format_message(), remedy=f"See {path} --help .{hint}")
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if isinstance(error, PermissionError):
        return NotAllowedError(str(error), remedy="Check the permissions of this path.")
    if isinstance(error, OSError):
        return TransferError(str(error), remedy="Check the path, its disk and its free space.")
    return None


def _print(error: QregError) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[1;31mError:\x1b[0m ")
    else:
        sys.stderr.write("Error: ")
    # No line of a message begins as one of ours does: parts of it may be of others.
    write_line(error.message.replace("\n", "\n  "), sys.stderr)
    for line in error.details.replace("\r\n", "\n").rstrip("\n").split("\n"):
        if error.details:
            write_line(f"  │ {line}", sys.stderr)
    if error.remedy:
        write_line(f"What to do: {error.remedy}".replace("\n", "\n  "), sys.stderr)
