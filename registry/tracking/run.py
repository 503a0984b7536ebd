"""A tracked run: opened before the work, ended whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.config import Settings
from registry.progress import Note, Observer, ignore
from registry.tracking.journal import FAILED, FINISHED, KILLED, RUN, Journal
from registry.tracking.messenger import Messenger
from registry.urls import without_credentials

_OPENING = 60.0  # seconds that the run's id in MLflow is waited for
_ENDING = 120.0  # seconds that the last of a run is waited for; loading MLflow may be among it


class TrackedRun:
    """Writes to the journal, which a messenger sends on; MLflow being away is a note, no error."""

    def __init__(self, journal: Journal, settings: Settings, observe: Observer) -> None:
        self._journal, self._settings, self._observe = journal, settings, observe
        self._messenger = Messenger(journal.folder, settings)
        self._told = False

    @property
    def identity(self) -> str:
        """qreg's own id of the run, known also while MLflow is away."""
        return str(self._journal.header["id"])

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, waited for while it is made; None where MLflow is away."""
        found = self._messenger.wait_for_run(_OPENING)
        self._tell()
        return found

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters; None values are left out."""
        self._add("params", values=_texts(values))

    def tags(self, values: Mapping[str, object]) -> None:
        """Record tags; None values are left out."""
        self._add("tags", values=_texts(values))

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step."""
        self._add("metrics", values=dict(values), step=step)

    def curves(self, values: Mapping[str, Mapping[int, float]]) -> None:
        """Record metrics with a value at each of several steps."""
        self._add("curves", values={key: list(found.items()) for key, found in values.items()})

    def artifact(self, source: Path, folder: str | None = None) -> None:
        """Record a small file, copied now."""
        self._add("artifact", file=self._journal.keep(source, source.name), folder=folder)

    def dataset(self, *, name: str, digest: str, source: str, context: str) -> None:
        """Record a data set that was used; `digest` has at most 36 characters."""
        self._add(
            "dataset",
            name=name,
            digest=digest[:36],
            source=without_credentials(source),
            context=context,
        )

    def end(self, status: str) -> None:
        """Close the run; what could not be sent stays on disk for later."""
        self._journal.append("end", status=status)
        try:
            if not self._messenger.alive:  # killed, for memory perhaps
                self._messenger.finish(0)
                self._messenger = Messenger(self._journal.folder, self._settings)
            self._messenger.finish(_ENDING)
        finally:
            self._journal.release()
        self._tell(last=True)

    def _add(self, op: str, **fields: Any) -> None:
        self._journal.append(op, **fields)
        self._messenger.nudge()
        self._tell()

    def _tell(self, *, last: bool = False) -> None:
        for refusal in self._messenger.refused():
            self._observe(Note(refusal, warning=True))
        if self._told or self._messenger.delivered:
            return
        trouble = self._messenger.trouble
        if trouble:
            text = f"MLflow does not answer ({trouble}). The run is kept on this machine and sent"
            text += " later, by the next command or by `qreg sync`."
        elif last:
            text = "MLflow is still being told of the run; `qreg sync` waits for that."
        else:
            return
        self._told = True
        self._observe(Note(text, warning=True))


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """What MLflow gets; users and passwords of URLs are not for a log."""
    return {k: without_credentials(str(v)) for k, v in values.items() if v is not None}


@contextmanager
def tracked_run(
    settings: Settings,
    *,
    experiment: str,
    run_name: str,
    tags: Mapping[str, str],
    scratch: tuple[Path, ...] = (),
    observe: Observer = ignore,
) -> Iterator[TrackedRun]:
    """Open a run for the time of a block.

    It ends FINISHED if the block does, KILLED on an interruption, FAILED on any other exception.
    If the process dies, the next qreg command ends it KILLED and removes `scratch`.
    """
    journal = Journal.create(
        settings,
        {
            "kind": RUN,
            "experiment": experiment,
            "run_name": run_name,
            "tags": dict(tags),
            "scratch": [str(path) for path in scratch],
        },
    )
    run = TrackedRun(journal, settings, observe)
    run.tags({"qreg.activity": run.identity})
    try:
        yield run
    except KeyboardInterrupt:
        run.end(KILLED)
        raise
    except BaseException as error:
        run.tags({"qreg.error": f"{type(error).__name__}: {error}"})
        run.end(FAILED)
        raise
    run.end(FINISHED)
