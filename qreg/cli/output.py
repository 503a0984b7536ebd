"""The one sink of all commands: results on standard output, progress and notes on standard error.

Human output is made with rich, which is imported only when something is shown; `--json` prints one
document, `--quiet` nothing but it or the essential line.

What is shown is data, and much of it was written by others: names, provenance, answers of models
and of servers, logs. So everything is escaped here (`registry.names.printable`), and no command
prints by other ways. Colours come from styles, never from a text; markup, emoji codes and links in
a text mean nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from registry.names import one_line, printable, printable_json
from registry.progress import Event, Note, Observer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

HUMAN, JSON, QUIET = "human", "json", "quiet"


class Output:
    """Shows results, progress and notes in one of the three modes."""

    def __init__(self, mode: str, *, silent: bool = False) -> None:
        self.mode = mode
        self.silent = silent

    def result(
        self,
        document: Any,
        human: Callable[[Console], None],
        essential: str | None = None,
        *,
        verbatim: bool = False,
    ) -> None:
        """Show a command's result.

        Args:
            document: what `--json` prints; its values are exact, and escaped as JSON escapes.
            human: draws it on a console.
            essential: the one line that `--quiet` prints, such as a path or a digest.
            verbatim: whether `essential` goes as it is into a pipe or a file, as the answer of a
                model that a program takes. A terminal gets it escaped all the same.
        """
        try:
            if self.mode == JSON:
                print(json_text(document), flush=True)
            elif self.mode == QUIET:
                if essential is not None and verbatim and not sys.stdout.isatty():
                    print(_encodable(essential), flush=True)
                elif essential is not None:
                    write_line(essential, sys.stdout)
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
            write_event({"event": "note", "warning": warning, "text": text})
        elif not self.silent or warning:
            line = f"{'Warning: ' if warning else ''}{text}"
            write_line(line.replace("\n", "\n  "), sys.stderr)

    def say(self, text: str) -> None:
        """A line on standard output, where it has no form but text."""
        write_line(text, sys.stdout)

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
                yield _escaping(BarObserver(bars))
        else:
            yield _escaping(LineObserver(self))

    def _note_of(self, event: Event) -> None:
        if isinstance(event, Note):
            self.note(event.text, warning=event.warning)


def json_text(document: Any) -> str:
    """Readable JSON; what could act on a terminal, or cannot be encoded, is escaped in it."""
    return printable_json(json.dumps(document, ensure_ascii=False, indent=2))


def write_line(text: str, stream: IO[str]) -> None:
    """Text and a line end on a stream; what could act in the text is escaped."""
    print(printable(text), file=stream, flush=True)


def write_event(row: Any) -> None:
    """One JSON object on a line of standard error, all of it ASCII."""
    print(json.dumps(row), file=sys.stderr, flush=True)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text for a console, in place of rich's own, which drops some control characters unseen.

    Args:
        parts: texts, and pairs of a text and its style; what could act in a text is escaped.
    """
    from rich.text import Text

    return Text.assemble(
        *(printable(p) if isinstance(p, str) else (printable(p[0]), p[1]) for p in parts)
    )


def size_text(size: float) -> str:
    """A size for people: `7.0 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def _encodable(text: str) -> str:
    """Text without halves of characters, which no stream takes."""
    return text.encode(errors="backslashreplace").decode()


def _escaping(observe: Observer) -> Observer:
    """An observer whose events hold nothing that could act on a terminal, each on one line."""

    def escaped(event: Event) -> None:
        if isinstance(event, Note):
            observe(replace(event, text=printable(event.text)))
        else:
            observe(replace(event, stage=one_line(event.stage), detail=one_line(event.detail)))

    return escaped


def _console(stream: Any) -> Console:
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            # Texts that were made elsewhere; the console's own codes are in styles and controls.
            for one in super().render(renderable, options):
                yield one if one.control else Segment(printable(one.text), one.style)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # result() ends as other programs do; rich would end with 1

    # A pipe has no width; wrapped lines would break paths that people copy.
    terminal = stream is not None and stream.isatty()
    width = None if terminal else 1000
    # Markup and emoji are off: names, paths and models' answers may hold brackets and colons.
    return Plain(
        file=stream,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not terminal,
    )
