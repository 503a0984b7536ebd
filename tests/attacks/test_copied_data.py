"""A copy of the data folder beside its original, whose work goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from registry.config import Settings
from registry.tracking.client import connect
from registry.tracking.journal import Journal, journals
from registry.tracking.maker import Kinship, Maker
from registry.tracking.recovery import recover, synchronise
from registry.tracking.scratch import remove_scratch
from tests.conftest import Run

# A run as `qreg quantize` makes it: scratch recorded, the output staged, a folder of work.
_WORK = """
import sys, tempfile
from pathlib import Path
from registry.config import load
from registry.staging import lock_of, partial_of, staged_folder
from registry.tracking.run import tracked_run

output, work = Path(sys.argv[1]), Path(tempfile.mkdtemp(prefix="qreg-quantize-"))
scratch = (partial_of(output), lock_of(output), work)
with tracked_run(
    load(), experiment="quant/Base", run_name="r", tags={}, scratch=scratch
) as run, staged_folder(output) as partial:
    (partial / "model.safetensors").write_bytes(b"half made")
    (work / "log").write_bytes(b"of a tool")
    assert run.run_id
    print(work, flush=True)
    sys.stdin.readline()
"""


class Working:
    """A run under way.

    Attributes:
        partial: where its output is being made.
        work: its folder for temporary files.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.partial = output.parent / f".{output.name}.qreg-partial"
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WORK, str(output)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.work = Path(self.process.stdout.readline().strip())

    def finish(self) -> int:
        """Let it end well."""
        self.process.communicate("\n", timeout=120)
        return self.process.returncode

    def kill(self) -> None:
        """End it in an instant."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def working(settings: Settings, tmp_path: Path) -> Iterator[Working]:
    run = Working(tmp_path / "output")
    yield run
    if run.process.poll() is None:
        run.kill()


def _status(settings: Settings) -> list[str]:
    client = connect(settings)
    experiment = client.get_experiment_by_name("quant/Base")
    assert experiment is not None
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def test_a_copy_leaves_the_running_work_of_its_original_alone(
    qreg: Run, settings: Settings, working: Working, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", settings.data, copy], check=True)
    copied = {"QREG_DATA": str(copy)}
    assert qreg("list", env=copied).code == 0
    assert (working.partial / "model.safetensors").exists() and (working.work / "log").exists()
    # Nor does it end the run, or lose the record.
    assert len(list((copy / "activities").iterdir())) == 1
    told = qreg("sync", "--json", env=copied)
    assert told.code == 0 and told.json["foreign"] == 1 and told.json["sent"] == 0
    assert "another data folder" in told.err and "--everything" in told.err
    here = replace(settings, data=copy, tracking_uri=f"sqlite:///{copy}/mlflow/mlflow.db")
    assert _status(replace(here, registry_uri=here.tracking_uri)) == ["RUNNING"]
    # Told to end it in the copy, its files are still nobody's to remove.
    ended = qreg("sync", "--everything", "--json", env=copied)
    assert ended.code == 0 and ended.json["sent"] == 1 and str(working.partial) in ended.err
    assert (working.partial / "model.safetensors").exists()
    assert _status(replace(here, registry_uri=here.tracking_uri)) == ["KILLED"]
    # The original goes on to its end.
    assert working.finish() == 0 and (working.output / "model.safetensors").exists()
    assert _status(settings) == ["FINISHED"]


def test_what_a_killed_process_left_is_still_cleared_away(
    qreg: Run, settings: Settings, working: Working, tmp_path: Path
) -> None:
    working.kill()
    assert working.partial.exists()
    found = qreg("list")
    assert found.code == 0 and "left" not in found.err
    assert not working.partial.exists() and not working.work.exists()
    assert not (tmp_path / ".output.qreg-lock").exists()
    assert _status(settings) == ["KILLED"] and journals(settings) == []


def test_a_moved_data_folder_is_still_the_same(
    settings: Settings, working: Working, tmp_path: Path
) -> None:
    working.kill()
    moved = tmp_path / "moved"
    settings.data.rename(moved)
    there = replace(settings, data=moved, tracking_uri=f"sqlite:///{moved}/mlflow/mlflow.db")
    done = recover(replace(there, registry_uri=there.tracking_uri))
    assert (done.foreign, done.left, working.partial.exists()) == (0, (), False)


def test_a_record_cannot_name_what_is_not_scratch(settings: Settings, tmp_path: Path) -> None:
    """Its paths are somebody's home, a link out of the way, or a name that looks like ours."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for folder in (home, elsewhere):
        folder.mkdir()
        (folder / "thesis").write_text("years of work")
    link = tmp_path / ".link.qreg-partial"
    link.symlink_to(elsewhere)
    named = [home, link, elsewhere / "thesis", tmp_path / "x" / ".." / "home"]
    header = {"kind": "run", "experiment": "quant/Base", "run_name": "r", "tags": {}}
    record = Journal.create(settings, {**header, "scratch": [str(path) for path in named]})
    record.release()
    done = synchronise(settings)
    assert set(done.left) >= {home, link, elsewhere / "thesis"}
    assert (home / "thesis").exists() and (elsewhere / "thesis").exists() and link.is_symlink()


def test_what_another_process_builds_by_now_is_left(tmp_path: Path, working: Working) -> None:
    """A dead run and a living one had the same output."""
    assert working.partial in remove_scratch([working.partial])
    assert (working.partial / "model.safetensors").exists()
    assert working.finish() == 0


def test_who_made_a_record(tmp_path: Path) -> None:
    here = Maker(device=1, inode=2, boot="b", machine="m", user=1000)
    record = here.to_json()
    assert here.kinship(json.loads(json.dumps(record))) is Kinship.OURS
    assert here.kinship({**record, "inode": 3}) is Kinship.FOREIGN  # cp -a
    assert here.kinship({**record, "device": 3}) is Kinship.FOREIGN  # dd, mounted beside it
    assert here.kinship({**record, "user": 0}) is Kinship.FOREIGN
    rebooted = {**record, "boot": "earlier"}
    assert here.kinship(rebooted) is Kinship.OURS
    assert here.kinship({**rebooted, "device": 3}) is Kinship.UNSURE  # disks found in other order
    assert here.kinship({**rebooted, "machine": "other"}) is Kinship.FOREIGN
    assert here.kinship({**rebooted, "machine": ""}) is Kinship.UNSURE  # in a container
    assert here.kinship({**record, "machine": "rebuilt image"}) is Kinship.OURS
    assert here.kinship(None) is Kinship.UNSURE  # of an older version
    assert Maker.here(tmp_path).kinship(Maker.here(tmp_path).to_json()) is Kinship.OURS
    assert Maker.here(tmp_path).user == os.getuid()
