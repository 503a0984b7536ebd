"""Which of several places may be believed about a name that no digest pins.

Where a name is looked for in one's own registry first and on a public hub then, whoever registers
that name on the hub waits for the registry to be away. So the next place is asked only if the one
before says that it does not have the name. One that does not answer, refuses or errs ends the
search, unless it is a public hub, where anyone may publish anyhow, or the user allows it. A digest
may be taken from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from registry.asking import HEAD_START, Question
from registry.errors import (
    IncompatibleError,
    IntegrityError,
    NotAllowedError,
    NotFoundError,
    QregError,
    ToolError,
    TransferError,
    UncertainError,
)
from registry.progress import Note, Observer, Progress
from registry.stores import is_public_hub
from registry.urls import without_credentials

_TELLING = ("hf://", "ms://", "s3://", "models:/")  # whose requests give signs of life


class Found(Protocol):
    """What a place has."""

    @property
    def reference(self) -> str:
        """Finds it again."""


F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Attributes:
        name: for messages.
        pinned: whether a digest says what it must be.
        lenient: whether the user allows to go on after a place that could not be asked.
    """

    name: str
    pinned: bool
    lenient: bool


@dataclass(frozen=True)
class Place:
    """Where something is looked for.

    Attributes:
        url: of a store, or `models:/`.
        here: whether it is on this machine, and needs no network.
    """

    url: str
    here: bool


def search(
    wanted: Wanted, places: Sequence[Place], ask: Callable[[str], F], observe: Observer
) -> F:
    """Look for a name in places, in order.

    Args:
        wanted: the name.
        places: where to look.
        ask: finds it in the place behind a URL; raises NotFoundError where that says that it does
            not have it.
        observe: is told which place is asked, and which ones were passed over.

    Raises:
        NotFoundError: no place has it.
        TransferError, NotAllowedError, IncompatibleError: a place that may have it could not be
            asked; the message names it.
        IntegrityError: what the place has is damaged, or none has what is pinned.
    """
    told: list[tuple[str, QregError]] = []
    begun: dict[str, Question[F]] = {}
    for number, place in enumerate(places):
        following = places[number + 1] if number + 1 < len(places) else None
        try:
            found = _answer(wanted, place, following, begun, ask, observe)
        except QregError as error:
            if not may_move_on(wanted, place.url, error):
                raise _stopped(wanted, place.url, error, len(places)) from error.__cause__
            told.append((place.url, error))
            continue
        if not wanted.pinned:
            _tell(told, found.reference, observe)
        return found
    raise _nowhere(wanted, told)


def may_move_on(wanted: Wanted, url: str, error: QregError) -> bool:
    """Whether the next place may be asked after one has failed.

    Args:
        wanted: the name.
        url: of the place.
        error: that it failed with.
    """
    if isinstance(error, NotFoundError) and not isinstance(error, UncertainError):
        return True  # it says so
    if isinstance(error, IntegrityError):
        return wanted.pinned
    failed = NotFoundError | TransferError | NotAllowedError | ToolError | IncompatibleError
    if not isinstance(error, failed):
        return False
    return wanted.pinned or wanted.lenient or is_public_hub(url)


def asking(url: str) -> Progress:
    """The step of asking a place, for whoever waits."""
    return Progress(f"asking {without_credentials(url)}")


def _answer(
    wanted: Wanted,
    place: Place,
    following: Place | None,
    begun: dict[str, Question[F]],
    ask: Callable[[str], F],
    observe: Observer,
) -> F:
    """Ask one place; the next one, too, while this one thinks, where both may be believed."""
    if place.here:
        return ask(place.url)
    observe(asking(place.url))
    question = begun.pop(place.url, None) or _question(place, ask)
    either = wanted.pinned or wanted.lenient or is_public_hub(place.url)
    if following and not following.here and either and not question.wait(HEAD_START):
        begun[following.url] = _question(following, ask)
    return question.result()


def _question(place: Place, ask: Callable[[str], F]) -> Question[F]:
    return Question(place.url, lambda: ask(place.url), tells=place.url.startswith(_TELLING))


def _tell(told: Sequence[tuple[str, QregError]], reference: str, observe: Observer) -> None:
    """Say which places could not be asked: they may have something newer of that name."""
    for url, error in told:
        if isinstance(error, NotFoundError) and not isinstance(error, UncertainError):
            continue
        text = f"{url} could not be asked: {error.message}; {reference} is taken instead"
        observe(Note(text, warning=not isinstance(error, IncompatibleError)))


def _stopped(wanted: Wanted, url: str, error: QregError, places: int) -> QregError:
    """The refusal to look any further."""
    if places == 1 or isinstance(error, IntegrityError):
        return error
    kind: type[QregError] = TransferError
    if isinstance(error, NotAllowedError | IncompatibleError):
        kind = type(error)
    elif not isinstance(error, NotFoundError | TransferError | ToolError):
        return error
    advice = (
        "The name is not taken from the next place, where others may have registered it. Ask again "
        "when this one answers; pin a digest with @sha256:…; name the place, as hf:// ; or say "
        "--allow-fallback, or QREG_ALLOW_FALLBACK=1, if that is what you want."
    )
    return kind(
        f"{url} could not be asked for {wanted.name}: {error.message}",
        remedy=f"{error.remedy} {advice}".strip(),
        details=error.details,
    )


def _nowhere(wanted: Wanted, told: Sequence[tuple[str, QregError]]) -> QregError:
    """What to raise when all places were asked in vain."""
    errors = [error for _, error in told]
    if not errors:
        return NotFoundError(f"No source to look for {wanted.name} in")
    damaged = next((error for error in errors if isinstance(error, IntegrityError)), None)
    details = "\n".join(error.message for error in errors)
    if damaged is not None and len(errors) > 1:
        damaged.details = details
    if damaged is not None or len(errors) == 1:
        return damaged or errors[0]
    # A public hub refuses what does not exist, as it could be private; a store that is not
    # installed was not meant to be asked.
    certain = NotFoundError | NotAllowedError | IncompatibleError
    silent = [
        url
        for url, error in told
        if isinstance(error, UncertainError) or not isinstance(error, certain)
    ]
    if silent:
        return TransferError(
            f"{wanted.name} was not found, and {', '.join(silent)} could not be asked",
            remedy="Check the name, the network and QREG_SOURCES, which says where names are "
            "looked for.",
            details=details,
        )
    return NotFoundError(
        f"{wanted.name} is in none of {', '.join(url for url, _ in told)}",
        remedy="Check the name; `qreg list` shows the default registry, QREG_SOURCES says where "
        "names are looked for.",
        details=details,
    )
