"""The project's own hub, in a process of its own, as users start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.hub.access import Access

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class OwnHub:
    """A running hub.

    Attributes:
        url: for HF_ENDPOINT and MODELSCOPE_ENDPOINT.
        folder: the registry that it serves.
        writer, reader: tokens.
        process: that serves it.
    """

    url: str
    folder: Path
    writer: str
    reader: str
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        """What makes stock clients use it, with the right to write."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.writer,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "MODELSCOPE_ENDPOINT": self.url,
            "MODELSCOPE_API_TOKEN": self.writer,
        }

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def own_hub(folder: Path, *options: str) -> Iterator[OwnHub]:
    """Serve a registry until the block ends."""
    access = Access(folder / "hub")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "qreg", "hub", "serve", "--quiet", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--store", f"file://{folder}", *options],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        known = {token.name for token in access.tokens()}
        tokens = [access.issue(f"{scope}-{len(known)}", scope) for scope in ("write", "read")]
        yield OwnHub(url, folder, tokens[0], tokens[1], process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
