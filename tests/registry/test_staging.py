"""Folders that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from registry.errors import UsageError
from registry.staging import lock_of, partial_of, staged_folder


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "t"
    with staged_folder(target) as partial:
        (partial / "x").write_text("1")
        assert not target.exists()
    assert (target / "x").read_text() == "1"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "t") as partial:
        (partial / "x").write_text("1")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = partial_of(tmp_path / "t")
    left.mkdir()
    (left / "old").write_text("1")
    with staged_folder(tmp_path / "t") as partial:
        assert list(partial.iterdir()) == []
    assert list((tmp_path / "t").iterdir()) == []


def test_an_empty_folder_is_filled_and_a_full_one_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with staged_folder(tmp_path / "empty") as partial:
        (partial / "x").write_text("1")
    with pytest.raises(UsageError, match="not empty"), staged_folder(tmp_path / "empty"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"), staged_folder(tmp_path / "file"):
        pass


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        FileLock(lock_of(tmp_path / "t")),
        pytest.raises(UsageError, match="right now"),
        staged_folder(tmp_path / "t"),
    ):
        pass
