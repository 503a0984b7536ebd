"""Telling the registry of commits, beside the requests that made them.

In a folder that is a matter of links. In a bucket contents are copied on the server's side, which
takes minutes for a terabyte, and no client waits so long for its commit.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)
_WAIT = 5.0  # seconds that whoever committed waits, so that small artifacts are there at once
_Job = tuple[Callable[[], None], threading.Event]


class Exports:
    """Exports that are under way or wait for their turn; those of one repository go in order."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_Job]] = {}
        self._lock = threading.Lock()

    def submit(self, name: str, job: Callable[[], None]) -> threading.Event:
        """Do a job after those that a repository has already; tells when it is done.

        Args:
            name: ORG/NAME of the repository.
            job: deals with its own failures.
        """
        done = threading.Event()
        with self._lock:
            if name in self._waiting:
                self._waiting[name].append((job, done))
                return done
            self._waiting[name] = deque([(job, done)])
        # A daemon: a hub that is asked to end does not wait; the next one does it again.
        threading.Thread(target=self._run, args=(name,), daemon=True).start()
        return done

    def wait(self, name: str, job: Callable[[], None]) -> None:
        """Submit a job, and wait a little for it."""
        self.submit(name, job).wait(_WAIT)

    def is_busy(self, name: str) -> bool:
        """Whether a repository has jobs that are not done."""
        return name in self._waiting

    def _run(self, name: str) -> None:
        while True:
            with self._lock:
                if not self._waiting[name]:
                    del self._waiting[name]
                    return
                job, done = self._waiting[name].popleft()
            try:
                job()
            except Exception:  # noqa: BLE001 - the next job is another one's
                _log.exception("%s was not brought into step with the registry", name)
            finally:
                done.set()
