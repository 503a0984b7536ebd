"""Uploads that begin while other files are still hashed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from registry.artifact import FileEntry
from registry.errors import TransferError
from registry.progress import Event
from registry.stores import ahead
from registry.stores.ahead import Ahead
from registry.stores.uploading import Tally
from registry.transfer.beginning import Begun, offering
from tests.checkpoints import write_quantized


def _entry(name: str, sha256: str = "a" * 64, size: int = 2 * ahead.LARGE) -> FileEntry:
    return FileEntry(name, size, sha256)


def test_each_large_content_is_sent_once_and_told_when_it_is_waited_for(tmp_path: Path) -> None:
    sent: list[str] = []
    events: list[Event] = []
    gate = threading.Event()

    def send(entry: FileEntry, file: Path, tally: Tally) -> None:
        gate.wait(10)
        sent.append(entry.path)
        tally.of(entry.path, entry.size)(entry.size)

    uploads = Ahead(send, 1)
    for name, sha256, size in (("a", "a", 2**25), ("same", "a", 2**25), ("small", "b", 10)):
        uploads.offer(_entry(name, sha256 * 64, size), tmp_path / name)
    gate.set()
    uploads.finish(events.append)
    assert sent == ["a"]


def test_the_first_failure_is_raised_when_the_store_has_its_turn(tmp_path: Path) -> None:
    def send(entry: FileEntry, file: Path, tally: Tally) -> None:
        raise TransferError(f"{entry.path} is refused")

    uploads = Ahead(send, 1)
    uploads.offer(_entry("a"), tmp_path / "a")
    with pytest.raises(TransferError, match="a is refused"):
        uploads.finish(lambda event: None)


def test_stopping_ends_an_upload_at_its_next_piece(tmp_path: Path) -> None:
    begun = threading.Event()
    told: list[str] = []

    def send(entry: FileEntry, file: Path, tally: Tally) -> None:
        tell = tally.of(entry.path, entry.size)
        begun.set()
        try:
            while True:
                tell(1)
        except TransferError as error:
            told.append(error.message)
            raise

    uploads = Ahead(send, 1)
    uploads.offer(_entry("a"), tmp_path / "a")
    assert begun.wait(10)
    uploads.stop()
    assert told == ["The upload of a was stopped"]


def test_nothing_goes_out_once_a_file_contradicts_the_manifest(tmp_path: Path) -> None:
    from registry.describe import describe_folder

    known = describe_folder(write_quantized(tmp_path / "m"), name="org/m")
    sent: list[str] = []
    uploads = Ahead(lambda entry, file, tally: sent.append(entry.path), 1)
    offer = offering([Begun(None, uploads)], tmp_path / "m", known)  # type: ignore[arg-type]
    offer(_entry("config.json"))
    offer(_entry("other.safetensors", "b" * 64))
    uploads.finish(lambda event: None)
    assert sent == []
