"""Progress, as people and pipelines see it: bars, lines of a log, or JSON."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from qreg.cli.output import Output, size_text, write_event, write_line
from registry.progress import Event, Note, Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_MOST_BARS = 8  # files under way that have a bar of their own
_PACE = 0.5  # seconds between two JSON events of a stage


class BarObserver:
    """A bar for the stage under way, and one for each of its items whose size is known."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._stage, self._began = "", 0.0
        self._task: TaskID | None = None
        self._items: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            text = f"{'Warning: ' if event.warning else ''}{event.text}"
            self._bars.console.print(text, highlight=False)
            return
        if event.stage != self._stage or self._task is None:
            for task in (self._task, *self._items.values()):
                if task is not None:
                    self._bars.remove_task(task)
            self._items.clear()
            self._stage, self._began = event.stage, time.monotonic()
            self._task = self._bars.add_task(event.stage, total=event.total, amount="")
        text = amount(event) if event.item_total is None else counted(event)
        self._bars.update(
            self._task,
            total=event.total,
            completed=event.done or 0,
            amount=f"{text}{pace(event, time.monotonic() - self._began)}",
        )
        if event.item_total is not None:
            self._show_item(event)

    def _show_item(self, event: Progress) -> None:
        done, total, name = event.item_done or 0, event.item_total or 0, event.detail
        task = self._items.get(name)
        if done >= total:
            if task is not None:
                self._bars.remove_task(self._items.pop(name))
            return
        if task is None and len(self._items) < _MOST_BARS:
            shown = name if len(name) <= 40 else f"…{name[-39:]}"
            task = self._bars.add_task(f"  {shown}", total=total, amount="")
            self._items[name] = task
        if task is not None:
            text = f"{size_text(done)} of {size_text(total)}" if event.unit == "bytes" else ""
            self._bars.update(task, completed=done, amount=text)


class LineObserver:
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
            write_line(f"  · {event.stage}{': ' if text else ''}{text}", sys.stderr)


class JsonObserver:
    """One JSON object a line, for pipelines: each stage's beginning, its pace, and notes."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._stage, self._began, self._shown = "", 0.0, 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self._output.note(event.text, warning=event.warning)
            return
        now = time.monotonic()
        if event.stage != self._stage:
            self._stage, self._began = event.stage, now
        elif now - self._shown < _PACE and event.done != event.total:
            return
        self._shown = now
        row = {"event": "progress", **vars(event), "seconds": round(now - self._began, 1)}
        left = seconds_left(event, now - self._began)
        row |= {"seconds_left": left and round(left, 1)}
        shown = {key: value for key, value in row.items() if value not in (None, "")}
        write_event(shown)


def counted(event: Progress) -> str:
    """`1.2 of 3.4 GiB`, without the item at hand."""
    done, total = size_text(event.done or 0), event.total
    return f"{done} of {size_text(total)}" if total is not None else done


def pace(event: Progress, elapsed: float) -> str:
    """`, 812.0 MiB/s`; empty where no bytes are counted, or it is too early to tell."""
    if event.unit != "bytes" or not event.done or elapsed < 1:
        return ""
    return f", {size_text(event.done / elapsed)}/s"


def amount(event: Progress) -> str:
    """`12 of 96 packages numpy`, `1.2 of 3.4 GiB model.safetensors`, or the detail alone."""
    written = "" if not event.written else f", {size_text(event.written)} written"
    return f"{_counted_or_detail(event)}{written}".removeprefix(", ")


def _counted_or_detail(event: Progress) -> str:
    if event.done is None:
        return event.detail
    if event.unit == "bytes":
        text = counted(event)
    else:
        text = f"{event.done:.0f}"
        if event.total is not None:
            text += f" of {event.total:.0f}"
        text = f"{text} {event.unit}".rstrip()
    return f"{text}  {event.detail}".rstrip()


def time_left(event: Progress, elapsed: float) -> str:
    """`, 40 s left`, from the pace so far; empty where nothing can be said."""
    left = seconds_left(event, elapsed)
    return "" if left is None else f", {left:.0f} s left"


def seconds_left(event: Progress, elapsed: float) -> float | None:
    """Seconds that the stage still takes at its pace so far; None where nothing can be said."""
    if not event.done or not event.total or elapsed < 1:
        return None
    return elapsed * (event.total - event.done) / event.done


def new_bars(console: Console) -> Bars:
    """Bars on a console that go away when they end."""
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    return Bars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        transient=True,
    )
