"""What runs in a child process: qreg's own command line, or a look at what a store holds."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

PART = 2**20  # bytes; parts are that small here, so that small files have several
_S3_PART = 5 * 2**20  # bytes; the smallest that S3 takes
_NEEDED = (
    "registry.lint",
    "registry.stores.huggingface.upload",
    "registry.stores.modelscope.store",
    "registry.stores.s3.store",
    "registry.transfer.download",
    "registry.transfer.publishing",
    "huggingface_hub.hf_api",
    "modelscope_hub",
    "boto3.s3.transfer",
    "qreg.cli.publish",
    "qreg.cli.pull",
    "qreg.cli.cache",
)


@dataclass(frozen=True)
class Job:
    """One run of qreg.

    Attributes:
        arguments: of the command line; or `whole`, the URL of a store and a name.
        environment: added to this process's own.
        log: takes the output; what goes to stderr goes beside it, in `.err`.
        limits: `fsize`: bytes that a file may have; `impatient`: seconds that a socket waits at
            most; `hurried`: seconds that a pause before another try takes at most;
            `blind`: free space is not looked at beforehand, as when others take it meanwhile.
        meddle: `flip` or `remove`, and a file of the source: done when all of it is hashed, and
            nothing of it sent.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    limits: Mapping[str, float] = field(default_factory=dict)
    meddle: tuple[str, str] | None = None


def preload() -> None:
    """Import once, in the process that children are forked from."""
    for name in _NEEDED:
        importlib.import_module(name)


def act(job: Job) -> NoReturn:
    """Do a job and exit as qreg does. MLflow is left out: its import is longer than all else."""
    for number, file in ((1, job.log), (2, job.log.with_suffix(".err"))):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.update(job.environment)
    _prepare(job.limits)
    if job.meddle:
        _meddle(job.meddle[0], Path(job.meddle[1]))
    if job.arguments[0] == "whole":
        print(json.dumps(whole(*job.arguments[1:])))
        sys.exit(0)
    from qreg.cli import main

    main(list(job.arguments))


def _prepare(limits: Mapping[str, float]) -> None:
    from huggingface_hub import constants

    import registry.stores.ahead as ahead
    import registry.stores.parts as parts
    import registry.stores.s3.bucket as bucket
    import registry.transfer.publishing as publishing
    import registry.transfer.pulling as pulling

    # Read at import, which was before this child's environment was known.
    constants.ENDPOINT = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    vars(parts)["PART"] = PART
    vars(ahead)["LARGE"] = PART  # so that the small model's shards are sent while others are hashed
    vars(bucket)["_WHOLE"] = _S3_PART
    vars(publishing)["announce"] = lambda *_, **__: None
    if "blind" in limits:
        vars(pulling)["require_space"] = lambda *_: None
    if "fsize" in limits:
        size = int(limits["fsize"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if "impatient" in limits:
        _be_impatient(limits["impatient"])
    if "hurried" in limits:
        _hurry(limits["hurried"])


def _be_impatient(seconds: float) -> None:
    """No timeout of any library is longer; one that waits for ever still does, and is found out."""
    plain = socket.socket.settimeout

    def settimeout(self: socket.socket, value: float | None) -> None:
        plain(self, value if value is None else min(value, seconds))

    setattr(socket.socket, "settimeout", settimeout)  # noqa: B010 - mypy minds an assignment


def _hurry(seconds: float) -> None:
    """No pause of any library is longer."""
    from registry.transport import Patience

    plain = time.sleep
    vars(time)["sleep"] = lambda pause: plain(min(pause, seconds))
    setattr(Patience, "before", lambda *_: seconds)  # noqa: B010 - mypy minds an assignment


def _meddle(way: str, file: Path) -> None:
    """Change a file between hashing and sending; nothing goes ahead of the others then."""
    import registry.stores.ahead as ahead
    import registry.transfer.publishing as publishing

    plain: Any = vars(publishing)["_publish_to"]

    def after(*arguments: Any) -> Any:
        if way == "flip":
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        else:
            file.unlink()
        return plain(*arguments)

    vars(ahead)["LARGE"] = 2**62
    vars(publishing)["_publish_to"] = after


def whole(url: str, name: str) -> dict[str, Any]:
    """What a name resolves to in a store, and whether all that is listed is what it should be.

    Returns:
        `resolves`: the digest that the name alone finds, or None; `error`: why not; `revisions`:
        for each listed digest an empty text, or what is wrong with it; `files`: of the resolved
        one, by path.
    """
    from registry.errors import QregError
    from registry.stores import open_store

    store = open_store(url)
    found: dict[str, Any] = {"resolves": None, "error": "", "revisions": {}, "files": {}}
    try:
        snapshot = store.snapshot(name)
        manifest = snapshot.manifest
        found["resolves"] = str(manifest.digest)
        found["files"] = {entry.path: entry.sha256 for entry in manifest.files}
    except QregError as error:
        found["error"] = f"{error.exit_code} {error.message}"
    try:
        listed = store.revisions(name)
    except QregError as error:
        found["error"] = found["error"] or f"{error.exit_code} {error.message}"
        return found
    for revision in listed:
        try:
            fault = _fault(store.snapshot(name, digest=revision.digest))
        except QregError as error:
            fault = error.message
        found["revisions"][str(revision.digest)] = fault
    return found


def _fault(snapshot: Any) -> str:
    for entry in snapshot.manifest.files:
        content = snapshot.read(entry.path, 0, entry.size)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            return f"{entry.path} is not what the manifest says"
    return ""
