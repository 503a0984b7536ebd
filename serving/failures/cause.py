"""Finding what ended an engine, in the whole of its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from serving.failures.known import KnownFailure
from serving.failures.log import Line, LoggedError, errors

_LONGEST = 400  # characters of a line in a message
# How torch_npu says that HCCL failed, before the line of HCCL's that says why.
_SYMPTOM = re.compile(r"createHCCLComm|HCCL function error|ERR02\d\d\d DIST")


_SERVER = "APIServer"


@dataclass(frozen=True)
class RootCause:
    """What ended an engine.

    Attributes:
        what: what happened, as the end of a sentence: in words where it is known, else the error
            as the engine wrote it.
        remedy: what to do; empty where it is not known.
        lines: of the log that say so.
        process: that wrote them, `Worker_TP0 pid=1228`; empty where the log does not say.
    """

    what: str
    remedy: str
    lines: tuple[str, ...]
    process: str


@dataclass(frozen=True)
class _Sighting:
    position: int
    row: KnownFailure
    found: re.Match[str]
    line: Line

    def cause(self) -> RootCause:
        values = {name: value or "" for name, value in self.found.groupdict().items()}
        return RootCause(
            self.row.what.format_map(values),
            self.row.remedy.format_map(values),
            (self.line.text.strip()[:_LONGEST],),
            self.line.process,
        )


def root_cause(
    lines: Sequence[Line], known: Iterable[KnownFailure], *, serving: bool = False
) -> RootCause | None:
    """What ended the engine that wrote a log; None where the log holds no error.

    A known failure counts before one that is not known, and the first before later ones. Rows that
    are often a consequence give way to any exception that came before them; a message alone, at the
    level of errors, is one that the engine lived on with.

    Args:
        lines: of the whole log, of all processes.
        known: failures that the engine may have; of two that a line shows the first counts.
        serving: whether it had served: then an error of the API server's was that of a request.
    """
    lines = list(lines)
    sightings = sorted(_sightings(lines, known), key=lambda seen: seen.position)
    strong = next((seen for seen in sightings if not seen.row.weak), None)
    if strong is not None:
        return strong.cause()
    found = list(errors(lines))
    weak = next(iter(sightings), None)
    own = [error for error in found if not error.follows]
    if weak is not None:
        own = [e for e in own if e.raised and not _SYMPTOM.search(e.text)]
        own = [e for e in own if not (serving and e.process.startswith(_SERVER))]
    if own and (weak is None or own[0].position < weak.position):
        return _unknown(own[0])
    if weak is not None:
        return weak.cause()
    return _silent(found[0]) if found else None


def _sightings(lines: list[Line], known: Iterable[KnownFailure]) -> Iterable[_Sighting]:
    rows = [(re.compile(row.sign), row) for row in known]
    for position, line in enumerate(lines):
        for sign, row in rows:
            if line.is_source or not (line.may_fail or row.always):
                continue
            if found := sign.search(line.text):
                yield _Sighting(position, row, found, line)


def _silent(error: LoggedError) -> RootCause:
    """The log only says that something failed before, and that wrote nothing: it was killed."""
    return replace(
        _unknown(error),
        what="a process of the engine ended without a word, as one that is killed does",
        remedy="`dmesg` or `journalctl -k` names whom Linux killed for want of memory; otherwise "
        "somebody did.",
    )


def _unknown(error: LoggedError) -> RootCause:
    said = " ".join(error.lines)
    return RootCause(
        said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…",
        "",
        tuple(line[:_LONGEST] for line in error.lines),
        error.process,
    )
