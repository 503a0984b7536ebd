"""A tracked run: opened before the work, ended whatever happens to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.config import Settings
from registry.progress import Note, Observer, ignore
from registry.tracking.journal import FAILED, FINISHED, KILLED, RUN, Journal
from registry.tracking.sender import Sender


class TrackedRun:
    """Writes to the journal and sends on; MLflow being away is a note, never an error."""

    def __init__(self, journal: Journal, sender: Sender, observe: Observer) -> None:
        self._journal, self._sender, self._observe = journal, sender, observe
        self._away = self._told = False

    @property
    def identity(self) -> str:
        """qreg's own id of the run, known also while MLflow is away."""
        return str(self._journal.header["id"])

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, once MLflow has it."""
        return self._journal.sent().get("run_id")

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters; None values are left out."""
        self._add("params", values={k: str(v) for k, v in values.items() if v is not None})

    def tags(self, values: Mapping[str, object]) -> None:
        """Record tags; None values are left out."""
        self._add("tags", values={k: str(v) for k, v in values.items() if v is not None})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step."""
        self._add("metrics", values=dict(values), step=step)

    def artifact(self, source: Path, folder: str | None = None) -> None:
        """Record a small file, copied now."""
        self._add("artifact", file=self._journal.keep(source, source.name), folder=folder)

    def dataset(self, *, name: str, digest: str, source: str, context: str) -> None:
        """Record a data set that was used; `digest` has at most 36 characters."""
        self._add("dataset", name=name, digest=digest[:36], source=source, context=context)

    def end(self, status: str) -> None:
        """Close the run; what could not be sent stays on disk for later."""
        self._journal.append("end", status=status)
        self._away = False
        if self._send():
            self._journal.discard()
        else:
            self._journal.release()

    def _add(self, op: str, **fields: Any) -> None:
        self._journal.append(op, **fields)
        self._send()

    def _send(self) -> bool:
        if self._away:
            return False
        sent = self._sender.send(self._journal)
        while self._sender.refused:
            self._observe(Note(self._sender.refused.pop(0), warning=True))
        if sent:
            return True
        self._away = True
        if self._told:
            return False
        self._told = True
        self._observe(
            Note(
                f"MLflow does not answer ({self._sender.trouble}). The run is kept on this machine "
                "and sent later, by the next command or by `qreg sync`.",
                warning=True,
            )
        )
        return False


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
    run = TrackedRun(journal, Sender(settings), observe)
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
