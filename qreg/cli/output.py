"""The one sink of all commands: results on standard output, progress and notes on standard error.

Human output is made with rich, which is imported only when something is shown; `--json` prints one
document, `--quiet` nothing but it or the essential line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from registry.names import printable
from registry.progress import Event, Note, Observer, Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

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
        if not self.silent or warning:
            line = f"{'Warning: ' if warning else ''}{printable(text)}"
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[Observer]:
        """An observer that shows progress while the block lasts."""
        if self.silent:
            yield lambda event: self._note_of(event)
        elif sys.stderr.isatty():
            with _bars() as bars:
                yield _BarObserver(bars)
        else:
            yield _LineObserver(self)

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


class _BarObserver:
    """One bar at a time: that of the stage under way."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self._bars.console.print(
                f"{'Warning: ' if event.warning else ''}{event.text}", highlight=False
            )
            return
        if event.stage != self._stage or self._task is None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._stage = event.stage
            self._task = self._bars.add_task(event.stage, total=event.total, amount=amount(event))
        self._update(self._task, event)

    def _update(self, task: TaskID, event: Progress) -> None:
        self._bars.update(task, total=event.total, completed=event.done or 0, amount=amount(event))


class _LineObserver:
    """For logs and pipes: a line when a stage begins, and every ten seconds while it lasts."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._stage, self._began, self._shown = "", 0.0, 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self._output.note(event.text, warning=event.warning)
            return
        now = time.monotonic()
        new = event.stage != self._stage
        if new or now - self._shown > 10:
            if new:
                self._stage, self._began = event.stage, now
            self._shown = now
            text = event.detail if new else amount(event) + time_left(event, now - self._began)
            print(f"  · {event.stage}{': ' if text else ''}{text}", file=sys.stderr, flush=True)


def amount(event: Progress) -> str:
    """`12 of 96 packages numpy`, `1.2 of 3.4 GiB model.safetensors`, or the detail alone."""
    if event.done is None:
        return event.detail
    if event.unit == "bytes":
        done = f"{size_text(event.done)}"
        counted = f"{done} of {size_text(event.total)}" if event.total is not None else done
    else:
        counted = f"{event.done:.0f}"
        if event.total is not None:
            counted += f" of {event.total:.0f}"
        counted = f"{counted} {event.unit}".rstrip()
    return f"{counted}  {event.detail}".rstrip()


def time_left(event: Progress, elapsed: float) -> str:
    """`, 40 s left`, from the pace so far; empty where nothing can be said."""
    if not event.done or not event.total or elapsed < 1:
        return ""
    return f", {elapsed * (event.total - event.done) / event.done:.0f} s left"


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


def _bars() -> Bars:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    return Bars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=_console(sys.stderr),
        transient=True,
    )
