"""Runs and model versions in a real MLflow: embedded, away, and back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from registry.config import Settings
from registry.errors import NotFoundError
from registry.progress import Event, Note
from registry.tracking.client import connect
from registry.tracking.journal import Journal, journals
from registry.tracking.recovery import recover, synchronise
from registry.tracking.run import tracked_run
from registry.tracking.sender import Sender
from registry.tracking.ui import server_command, server_environment
from registry.transfer.publishing import publish
from serving.identity import free_port
from tests.checkpoints import write_quantized
from tests.conftest import Run

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and its libraries warn of themselves


def _work(settings: Settings, tmp_path: Path, events: list[Event] | None = None) -> None:
    artifact = tmp_path / "note.txt"
    artifact.write_text("hello")
    watch = [] if events is None else events
    with tracked_run(
        settings,
        experiment="quant/Base",
        run_name="r",
        tags={"qreg.base": "Base"},
        observe=watch.append,
    ) as run:
        run.params({"recipe": "w8a8", "nothing": None})
        run.metrics({"perplexity/float": 2.5})
        run.metrics({"perplexity/float": 2.0}, step=1)
        run.curves({"by_layer": {0: 1.0, 3: 4.0}})
        run.dataset(name="c.jsonl", digest="ab", source="/c.jsonl", context="calibration")
        run.artifact(artifact, "logs")


def _runs(settings: Settings) -> list[Any]:
    client = connect(settings)
    experiment = client.get_experiment_by_name("quant/Base")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def test_a_run_is_all_there_and_finished(settings: Settings, tmp_path: Path) -> None:
    _work(settings, tmp_path)
    (run,) = _runs(settings)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"recipe": "w8a8"}
    assert run.data.metrics == {"perplexity/float": 2.0, "by_layer": 4.0}
    assert run.data.tags["qreg.base"] == "Base"
    assert run.inputs.dataset_inputs[0].dataset.name == "c.jsonl"
    client = connect(settings)
    assert [a.path for a in client.list_artifacts(run.info.run_id, "logs")] == ["logs/note.txt"]
    curve = client.get_metric_history(run.info.run_id, "by_layer")
    assert [(point.step, point.value) for point in curve] == [(0, 1.0), (3, 4.0)]
    assert journals(settings) == []


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (ValueError("bad"), "FAILED")]
)
def test_how_a_run_ends(settings: Settings, error: BaseException, status: str) -> None:
    with (
        pytest.raises(type(error)),
        tracked_run(settings, experiment="quant/Base", run_name="r", tags={}),
    ):
        raise error
    (run,) = _runs(settings)
    assert run.info.status == status


def test_a_killed_process_leaves_no_running_run(settings: Settings, tmp_path: Path) -> None:
    scratch = tmp_path / ".half-made.qreg-partial"
    scratch.mkdir()
    code = (
        "import os\nfrom pathlib import Path\nfrom registry.config import load\n"
        "from registry.tracking.run import tracked_run\n"
        f"with tracked_run(load(), experiment='quant/Base', run_name='r', tags={{}}, "
        f"scratch=(Path({str(scratch)!r}),)) as run:\n"
        "    assert run.run_id\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    (run,) = _runs(settings)
    assert run.info.status == "RUNNING"
    assert recover(settings).sent == 1
    (run,) = _runs(settings)
    assert run.info.status == "KILLED"
    assert not scratch.exists()
    assert journals(settings) == []


def test_a_living_process_is_left_alone(settings: Settings) -> None:
    with tracked_run(settings, experiment="quant/Base", run_name="r", tags={}) as run:
        assert run.run_id and recover(settings).sent == 0
        (run,) = _runs(settings)
        assert run.info.status == "RUNNING"


def test_processes_that_start_at_once_on_a_new_database(settings: Settings) -> None:
    code = (
        "from registry.config import load\nfrom registry.tracking.run import tracked_run\n"
        "with tracked_run(load(), experiment='quant/Base', run_name='r', tags={}) as r:\n"
        "    r.metrics({'a': 1.0})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    synchronise(settings)
    assert [run.info.status for run in _runs(settings)] == ["FINISHED"] * 4


@contextmanager
def _server(settings: Settings, port: int) -> Iterator[None]:
    from serving.probe import is_healthy

    process = subprocess.Popen(
        server_command(settings, port),
        env={**os.environ, **server_environment(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while not is_healthy(f"http://127.0.0.1:{port}"):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def test_mlflow_being_away_costs_nothing_and_loses_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    away = replace(settings, tracking_uri=url, registry_uri=url)
    events: list[Event] = []
    began = time.monotonic()
    _work(away, tmp_path, events)
    published = publish(write_quantized(tmp_path / "m"), away, name="org/m", observe=events.append)
    assert time.monotonic() - began < 60
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("does not answer" in note for note in notes)
    assert len(journals(away)) == 2
    with _server(settings, port):
        assert synchronise(away).sent == 2
        (run,) = _runs(away)
        assert run.info.status == "FINISHED"
        assert run.data.metrics == {"perplexity/float": 2.0, "by_layer": 4.0}
        version = connect(away).get_model_version_by_alias("org--m", "current")
        assert version.tags["qreg.digest"] == str(published.manifest.digest)
    assert journals(away) == []


def test_a_publication_is_a_logged_model_and_a_version(settings: Settings, tmp_path: Path) -> None:
    import mlflow

    folder = write_quantized(tmp_path / "m")
    done = publish(folder, settings, name="org/Qwen2.5-m", alias="w8a8-a3")
    publish(folder, settings, name="org/Qwen2.5-m", alias="w8a8-a3")
    client = connect(settings)
    (version,) = client.search_model_versions("name = 'org--Qwen2.5-m'")
    assert version.tags["qreg.reference"] == done.reference
    assert version.source.startswith("models:/m-")
    assert len(version.description) <= 5000 and "W8A8_DYNAMIC" in version.description
    bundle = mlflow.artifacts.load_dict("models:/org--Qwen2.5-m@w8a8-a3/manifest.json")
    assert bundle["digest"] == str(done.manifest.digest)


def test_what_was_left_for_later_is_there_when_it_is_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    from registry.resolve import resolve

    done = publish(write_quantized(tmp_path / "m"), settings, name="org/m", wait=False)
    assert not settings.mlflow.exists() and len(journals(settings)) == 1
    assert recover(settings).sent == 0  # the next command does not stop for it: its sender comes
    # It is read where it waits: whoever asks needs no MLflow, and sends nothing.
    assert resolve("models:/org--m@current", settings).manifest().digest == done.manifest.digest
    assert not settings.mlflow.exists() and len(journals(settings)) == 1
    # Its number comes from MLflow.
    assert resolve("models:/org--m/1", settings).manifest().digest == done.manifest.digest
    assert journals(settings) == []
    assert resolve("models:/org--m@current", settings).manifest().digest == done.manifest.digest


def test_a_publication_is_left_for_later_by_a_command_and_sent_by_itself(
    settings: Settings, tmp_path: Path, qreg: Run
) -> None:
    ran = qreg("publish", write_quantized(tmp_path / "m"), "--name", "org/m", "--json")
    assert ran.code == 0, ran.err
    assert qreg("list").err == ""  # nothing is sent, and nothing said, on the way of a command
    deadline = time.monotonic() + 120
    while journals(settings):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    version = connect(settings).get_model_version_by_alias("org--m", "current")
    assert version.tags["qreg.digest"] == ran.json["digest"]


def test_sync_waits_for_what_another_process_is_sending(settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name="org/m", wait=False)
    (journal,) = journals(settings)
    assert journal.take_over()
    threading.Timer(1.0, journal.discard).start()
    began = time.monotonic()
    assert synchronise(settings).waiting == 0
    assert time.monotonic() - began > 0.8


def test_unknown_models(settings: Settings) -> None:
    from registry.resolve import resolve

    for text in ("models:/org--none@current", "models:/org--none/7"):
        with pytest.raises(NotFoundError, match="has no"):
            resolve(text, settings)


def test_a_line_that_a_crash_cut_off_costs_only_itself(settings: Settings) -> None:
    journal = Journal.create(
        settings, {"kind": "run", "experiment": "quant/Base", "run_name": "r", "tags": {}}
    )
    journal.append("params", values={"a": "1"})
    with (journal.folder / "journal.jsonl").open("a") as file:
        file.write('{"op": "metr')
    journal.release()
    assert recover(settings).sent == 1
    (run,) = _runs(settings)
    assert (run.info.status, run.data.params) == ("KILLED", {"a": "1"})


def test_a_damaged_journal_stops_nothing(settings: Settings, tmp_path: Path) -> None:
    journal = Journal.create(settings, {"kind": "run"})
    (journal.folder / "activity.json").write_text("{")
    journal.release()
    _work(settings, tmp_path)
    done = recover(settings)
    assert (done.sent, done.waiting) == (0, 1) and "damaged" in done.trouble
    assert _runs(settings)[0].info.status == "FINISHED"


def test_a_publication_that_died_before_it_was_announced(settings: Settings) -> None:
    journal = Journal.create(settings, {"kind": "publication", "run_name": "org/m"})
    journal.release()
    assert recover(settings).sent == 1
    assert journals(settings) == []


def test_sigterm_is_never_taken_for_an_outage(settings: Settings) -> None:
    code = (
        "import os, signal\nfrom qreg.cli.signals import terminate_as_interruption\n"
        "import registry.tracking.sender as sender\nfrom registry.config import load\n"
        "from registry.tracking.journal import Journal\n"
        "terminate_as_interruption()\nreal = sender.connect\n"
        "def connect(settings):\n"
        "    sender.connect = real\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return real(settings)\n"
        "sender.connect = connect\nsettings = load()\n"
        "header = {'kind': 'run', 'experiment': 'quant/Base', 'run_name': 'r', 'tags': {}}\n"
        "sender.Sender(settings).send(Journal.create(settings, header))\n"
        "print('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "went on" not in done.stdout and "Terminated" in done.stderr


def test_work_does_not_wait_for_mlflow_and_is_seen_while_it_lasts(
    settings: Settings, tmp_path: Path
) -> None:
    """Neither MLflow nor what it brings is loaded into the process that works."""
    code = (
        "import sys, time\nfrom registry.config import load\n"
        "from registry.tracking.run import tracked_run\n"
        "with tracked_run(load(), experiment='quant/Base', run_name='r', tags={}) as run:\n"
        "    began = time.monotonic()\n"
        "    for number in range(20):\n"
        "        run.metrics({'a': number}, step=number)\n"
        "    assert time.monotonic() - began < 2, 'it waited'\n"
        "    print(run.run_id, flush=True)\n"
        "    sys.stdin.readline()\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    client = connect(settings)
    deadline = time.monotonic() + 60
    while client.get_run(run_id).data.metrics.get("a") != 19:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert client.get_run(run_id).info.status == "RUNNING"
    process.communicate("\n")
    assert process.returncode == 0
    assert client.get_run(run_id).info.status == "FINISHED"
    assert journals(settings) == []


def test_a_messenger_that_is_killed_costs_nothing(settings: Settings) -> None:
    events: list[Event] = []
    with tracked_run(
        settings, experiment="quant/Base", run_name="r", tags={}, observe=events.append
    ) as run:
        assert run.run_id
        # Not that of another test, which may still have something to say.
        (messenger,) = (
            child
            for child in psutil.Process().children()
            if str(settings.data) in " ".join(child.cmdline())
        )
        messenger.kill()
        messenger.wait()
        run.params({"recipe": "w8a8"})
    (found,) = _runs(settings)
    assert (found.info.status, found.data.params) == ("FINISHED", {"recipe": "w8a8"})
    assert journals(settings) == [] and events == []


def test_mlflow_that_dies_in_the_middle_loses_nothing(settings: Settings) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    served = replace(settings, tracking_uri=url, registry_uri=url)
    events: list[Event] = []
    with (
        ExitStack() as server,
        tracked_run(
            served, experiment="quant/Base", run_name="r", tags={}, observe=events.append
        ) as run,
    ):
        server.enter_context(_server(settings, port))
        deadline = time.monotonic() + 60
        while not run.run_id:  # it was away at first, and is asked again
            assert time.monotonic() < deadline
            run.metrics({"waits": 1.0})
            time.sleep(1)
        server.close()
        run.metrics({"perplexity/float": 2.5})
    (note,) = (event.text for event in events if isinstance(event, Note))
    assert "does not answer" in note and len(journals(served)) == 1
    with _server(settings, port):
        assert synchronise(served).sent == 1
        (found,) = _runs(served)
        assert found.info.status == "FINISHED" and found.data.metrics["perplexity/float"] == 2.5


def test_a_record_is_for_the_mlflow_that_it_was_made_for(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    url = f"http://user:secret@127.0.0.1:{port}"
    served = replace(settings, tracking_uri=url, registry_uri=url)
    _work(served, tmp_path)  # it is away
    done = synchronise(settings)
    assert (done.sent, done.waiting) == (0, 0) and _runs(settings) == []
    assert done.elsewhere == {f"http://127.0.0.1:{port}": 1}
    with _server(settings, port):
        assert synchronise(served).sent == 1
        assert len(_runs(served)) == 1
    said = capfd.readouterr()
    assert "secret" not in said.out + said.err and "View run" not in said.out


def test_a_record_for_an_mlflow_that_is_gone_can_go_to_another(
    settings: Settings, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    _work(replace(settings, tracking_uri=url, registry_uri=url), tmp_path)
    assert synchronise(settings, everything=True).sent == 1
    assert len(_runs(settings)) == 1 and journals(settings) == []


def test_what_is_sent_twice_is_there_once(settings: Settings, tmp_path: Path) -> None:
    """A process that sends may be killed before it has noted how far it came."""
    (tmp_path / "note.txt").write_text("hello")
    header = {"kind": "run", "experiment": "quant/Base", "run_name": "r"}
    journal = Journal.create(settings, header)
    journal.append("params", values={"recipe": "w8a8"})
    journal.append("metrics", values={"perplexity/float": 2.5})
    journal.append("curves", values={"by_layer": [(0, 1.0), (3, 4.0)]})
    journal.append("dataset", name="c", digest="ab", source="/c", context="calibration")
    journal.append("artifact", file=journal.keep(tmp_path / "note.txt", "note.txt"), folder="logs")
    journal.append("end", status="FINISHED")
    for _ in range(2):
        assert Sender(settings).send(journal)
        assert journal.sent()["offset"] == 6
        journal.mark_sent({**journal.sent(), "offset": 0})
    (run,) = _runs(settings)
    client = connect(settings)
    for key, values in (("perplexity/float", [2.5]), ("by_layer", [1.0, 4.0])):
        history = client.get_metric_history(run.info.run_id, key)
        assert [point.value for point in history] == values
    assert len(run.inputs.dataset_inputs) == 1
    assert run.info.status == "FINISHED"
    journal.release()
