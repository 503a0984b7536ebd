"""The project's own hub, in a process of its own, as users start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from registry.hub.access import Access
from tests.servers import S3Server, client_of

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class OwnHub:
    """A running hub.

    Attributes:
        url: for HF_ENDPOINT and MODELSCOPE_ENDPOINT.
        folder: the registry that it serves, or its state where that is in a bucket.
        store: the URL of what it serves.
        variables: of the environment, with which `store` is found.
        writer, reader: tokens.
        process: that serves it.
    """

    url: str
    folder: Path
    writer: str
    reader: str
    process: subprocess.Popen[str]
    store: str
    variables: Mapping[str, str] = field(default_factory=dict)

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
def own_hub(
    folder: Path,
    *options: str,
    store: str = "",
    variables: Mapping[str, str] | None = None,
    log: BinaryIO | None = None,
) -> Iterator[OwnHub]:
    """Serve a registry until the block ends.

    Args:
        folder: the registry, or the hub's state where that is in a bucket.
        options: of `qreg hub serve`.
        store: the URL of a bucket.
        variables: of the environment, with which the bucket is found.
        log: takes what the process writes to stderr; the test's own by default.
    """
    state = folder if store else folder / "hub"
    access = Access(state)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})}
    command = [sys.executable, "-m", "qreg", "hub", "serve", "--quiet", "--port", "0"]
    url = store or f"file://{folder}"
    process = subprocess.Popen(
        [*command, "--store", url, "--state", str(state), *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout
    try:
        address = process.stdout.readline().strip()
        known = {token.name for token in access.tokens()}
        tokens = [access.issue(f"{scope}-{len(known)}", scope) for scope in ("write", "read")]
        yield OwnHub(address, folder, tokens[0], tokens[1], process, url, variables or {})
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def bucket_hub(folder: Path, server: S3Server, *options: str) -> Iterator[OwnHub]:
    """Serve a registry in a bucket of a running server, which is made if it is not there."""
    with suppress(client_of(server).exceptions.BucketAlreadyOwnedByYou):
        client_of(server).create_bucket(Bucket="hub")
    with own_hub(folder, *options, store="s3://hub/some", variables=server.environment) as hub:
        yield hub
