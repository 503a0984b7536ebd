"""What a look at something found, and looking at many things at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from registry.errors import QregError
from registry.urls import without_credentials

OK, WARNING, ERROR, UNKNOWN = "ok", "warning", "error", "unknown"
STATUSES = (ERROR, WARNING, UNKNOWN, OK)  # gravest first
LIMIT = 3.0  # seconds that a service or a driver has to answer
# Importing a library, and a tool that has to be killed, come on top of that.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Check:
    """What was found.

    Attributes:
        id: of the check, `shared-memory`.
        status: `ok`, `warning` (a launch may fail or something else will not work), `error` (no
            launch can work) or `unknown` (it could not be looked at).
        found: in one sentence.
        fix: how to mend it; empty where there is nothing to mend.
        where: the device, service or folder; empty where there is only one.
    """

    id: str
    status: str
    found: str
    fix: str = ""
    where: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Look:
    """One thing to look at: its name, for when it does not answer, and the function that looks."""

    id: str
    at: Callable[[], Iterable[Check]]


def run_looks(looks: Sequence[Look], patience: float = _PATIENCE) -> tuple[Check, ...]:
    """Look at all things at once; never raises.

    Args:
        looks: what to look at.
        patience: seconds until one that does not end is given up. Its thread is left alone: a
            driver that hangs in the kernel cannot be interrupted.

    Returns:
        What was found, in the order of the looks.
    """
    found: list[tuple[Check, ...]] = [() for _ in looks]

    def one(number: int, look: Look) -> None:
        try:
            found[number] = tuple(look.at())
        except QregError as error:
            found[number] = (Check(look.id, UNKNOWN, error.message, error.remedy),)
        except Exception as error:  # noqa: BLE001 - one check that fails must not hide the others
            text = without_credentials(f"{type(error).__name__}: {error}"[:200])
            found[number] = (
                Check(look.id, UNKNOWN, f"This could not be looked at ({text})", "Report this."),
            )

    threads = [
        threading.Thread(target=one, args=(number, look), daemon=True)
        for number, look in enumerate(looks)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    hung = "There was no answer within {:g} seconds"
    return tuple(
        check
        for thread, look, rows in zip(threads, looks, found, strict=True)
        for check in (
            (Check(look.id, UNKNOWN, hung.format(patience), "Look at it yourself."),)
            if thread.is_alive()
            else rows
        )
    )
