"""The one sink of all commands: results on standard output, progress and notes on standard error.

Human output is made with rich, which is imported only when something is shown; `--json` prints one
document, `--quiet` nothing but it or the essential line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from registry.names import printable
from registry.progress import Event, Note, Observer

if TYPE_CHECKING:
    from rich.console import Console

HUMAN, JSON, QUIET = "human", "json", "quiet"


class Output:
    """Shows results, progress and notes in one of the three modes."""

    def __init__(self, mode: str, *, silent: bool = False) -> None:
        self.mode = mode
        self.silent = silent

    def result(
        self, document: Any, human: Callable[[Console], None], essential: str | None = None
    ) -> None:
        """Show a command's result.

        Args:
            document: what `--json` prints.
            human: draws it on a console.
            essential: the one line that `--quiet` prints, such as a path or a digest.
        """
        try:
            if self.mode == JSON:
                print(json_text(document), flush=True)
            elif self.mode == QUIET:
                if essential is not None:
                    print(essential, flush=True)
            else:
                human(_console(sys.stdout))
                sys.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has enough, as `head` does: end as other programs do.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it at exit
            raise SystemExit(128 + signal.SIGPIPE) from None

    def note(self, text: str, *, warning: bool = False) -> None:
        """A remark on standard error; with --quiet only warnings."""
        if self.mode == JSON and (not self.silent or warning):
            row = {"event": "note", "warning": warning, "text": printable(text)}
            print(json.dumps(row), file=sys.stderr, flush=True)
        elif not self.silent or warning:
            line = f"{'Warning: ' if warning else ''}{printable(text)}"
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[Observer]:
        """An observer that shows progress while the block lasts."""
        from qreg.cli.watch import BarObserver, JsonObserver, LineObserver, new_bars

        if self.silent:
            yield lambda event: self._note_of(event)
        elif self.mode == JSON:
            yield JsonObserver(self)
        elif sys.stderr.isatty():
            with new_bars(_console(sys.stderr)) as bars:
                yield BarObserver(bars)
        else:
            yield LineObserver(self)

    def _note_of(self, event: Event) -> None:
        if isinstance(event, Note):
            self.note(event.text, warning=event.warning)


def json_text(document: Any) -> str:
    """Readable JSON; escaped where a text has halves of characters, which no file can hold."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(document, indent=2)
    return text


def size_text(size: float) -> str:
    """A size for people: `7.0 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def _console(stream: Any) -> Console:
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # result() ends as other programs do; rich would end with 1

    # A pipe has no width; wrapped lines would break paths that people copy.
    terminal = stream is not None and stream.isatty()
    width = None if terminal else 1000
    # Markup is off: names, paths and models' answers may hold brackets.
    return Plain(file=stream, width=width, highlight=False, markup=False, soft_wrap=not terminal)
