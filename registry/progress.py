"""Progress as values: whoever works reports, whoever watches decides how to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from registry.urls import without_credentials


@dataclass(frozen=True)
class Progress:
    """One observation of work under way.

    Attributes:
        stage: what is being done, in the user's words ("hashing", "quantizing layers").
        done: how much of it is done, in `unit`; None where nothing can be counted.
        total: how much there is, in `unit`; None where it is not known.
        unit: "bytes", "layers", "packages", … ; empty where nothing is counted.
        detail: the item at hand, such as a file name or the tool's last line.
        item_done: how much of that item is done, in `unit`; None where it is not counted.
        item_total: how much of it there is.
        written: bytes of the result that are on disk so far; None where nobody looks.
    """

    stage: str
    done: float | None = None
    total: float | None = None
    unit: str = ""
    detail: str = ""
    item_done: float | None = None
    item_total: float | None = None
    written: int | None = None


@dataclass(frozen=True)
class Note:
    """Something worth telling that is not progress, such as a warning of a tool.

    Attributes:
        text: a sentence; users and passwords of URLs in it are left out.
        warning: whether it is one.
    """

    text: str
    warning: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", without_credentials(self.text))


Event = Progress | Note
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer of callers who do not watch."""
