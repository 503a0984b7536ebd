"""moto's server: S3 in memory with If-Match and the metadata of checksums; believes everyone."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.interface import S3Server
from tests.servers.launch import launched


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """Run moto in a process of its own.

    Raises:
        RuntimeError: it did not start; the message has its output.
    """
    with (
        tempfile.TemporaryDirectory(prefix="moto-") as folder,
        launched("tests.servers.moto_program", Path(folder), {}) as url,
    ):
        yield S3Server(url, "tester", secrets.token_hex(16), "us-east-1", "moto")
