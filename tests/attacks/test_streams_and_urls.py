"""Streams that are closed, and secrets in places where they are repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from registry.config import Settings, load
from registry.errors import QregError, TransferError, UsageError
from registry.progress import Note
from registry.reference import Reference
from registry.stores import open_store
from registry.tracking.client import connect
from registry.tracking.run import tracked_run
from registry.urls import same_origin, without_credentials
from tests.checkpoints import write_quantized
from tests.conftest import Run

PASSWORD = "canary-pa55"


def _shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("qreg", f"{sys.executable} -m qreg", 1)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("qreg list >&-", 0),
        ("qreg list --json >&-", 0),
        ("qreg list >&- 2>&-", 0),
        ("qreg list <&- >&- 2>&-", 0),
        ("qreg inspect ./nothing >&- 2>&-", 3),
        ("qreg inspect ./m --json | head -0", 141),
        ("qreg inspect ./m | head -0", 141),
        ("qreg inspect ./m --json 2>&1 | head -0", 141),
        ("qreg --help | head -0", 1),  # by click itself
        ("qreg list > /dev/full", 7),
    ],
)
def test_a_closed_stream_is_no_fault(
    line: str, code: int, settings: Settings, tmp_path: Path
) -> None:
    write_quantized(tmp_path / "m")
    # `head` has gone before there is anything to read.
    done = _shell(line.replace("| head -0", "| (exec <&-; sleep 4)"), tmp_path)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr


def test_a_closed_stream_does_not_get_what_belongs_to_a_file(
    settings: Settings, tmp_path: Path
) -> None:
    """Else the next file that is opened becomes standard output."""
    model = write_quantized(tmp_path / "m")
    done = _shell(f"qreg publish {model} --name org/x >&- 2>&-", tmp_path)
    assert done.returncode == 0
    assert _shell("qreg verify --all", tmp_path).returncode == 0


def test_an_s3_url_with_a_password_is_refused_and_not_repeated(
    qreg: Run, settings: Settings
) -> None:
    url = f"s3://user:{PASSWORD}@bucket"
    for arguments in (
        ("inspect", f"{url}/org/name"),
        ("pull", f"{url}/org/name@main"),
        ("list", "--from", url),
        ("publish", "./nothing", "--to", url),
    ):
        found = qreg(*arguments, "--json")
        assert found.code in (2, 3), found.out
        assert PASSWORD not in found.out + found.err
    with pytest.raises(UsageError, match="password"):
        Reference.parse(f"{url}/org/name")
    with pytest.raises(UsageError, match="password"):
        open_store(url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_ENDPOINT", f"http://user:{PASSWORD}@127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", f"http://user:{PASSWORD}@127.0.0.1:1/ x"),
        ("MLFLOW_TRACKING_URI", f"http://user:{PASSWORD}@127.0.0.1:1"),
        ("QREG_REGISTRY", f"vendor://user:{PASSWORD}@host/x"),
        ("QREG_SOURCES", f"vendor://user:{PASSWORD}@host/x,hf://"),
    ],
)
def test_a_password_of_the_environment_is_not_repeated(
    name: str, value: str, qreg: Run, tmp_path: Path
) -> None:
    environment = {name: value, "QREG_ATTEMPTS": "1"}
    if name == "AWS_ENDPOINT_URL_S3":
        environment["QREG_SOURCES"] = "s3://bucket"
    if name == "HF_ENDPOINT":
        environment["QREG_SOURCES"] = "hf://"
    write_quantized(tmp_path / "m")
    for arguments in (
        ("inspect", "org/name"),
        ("list", "--json"),
        ("publish", "./m", "--name", "org/x", "--json"),
        ("sync", "--json"),
    ):
        found = qreg(*arguments, env=environment)
        assert PASSWORD not in found.out + found.err, found
    left = [path for path in (tmp_path / "data").rglob("*.json*") if path.is_file()]
    assert not [path for path in left if PASSWORD in path.read_text(errors="replace")]


def test_errors_notes_and_runs_hold_no_passwords(settings: Settings) -> None:
    text = f"postgresql://user:{PASSWORD}@db/x failed, as did https://{PASSWORD}@hub/y"
    clean = "postgresql://db/x failed, as did https://hub/y"
    assert without_credentials(text) == clean and Note(text).text == clean
    error = TransferError(text, remedy=text, details=text)
    assert [error.message, error.remedy, error.details, str(error)] == [clean] * 4
    with (
        pytest.raises(QregError),
        tracked_run(settings, experiment="quant/Base", run_name="r", tags={}) as run,
    ):
        run.params({"source": text})
        raise error
    client = connect(settings)
    experiment = client.get_experiment_by_name("quant/Base")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.params["source"] == clean
    assert PASSWORD not in json.dumps(found.data.tags)


@pytest.mark.parametrize(
    "text",
    [
        "hf://org/name@main",
        "s3://bucket/org/name@sha256:abc",
        "models:/org--name@current",
        "file:///srv/a@b/c",
        "https://hub/x?mail=a@b",
        "org/name@tag",
    ],
)
def test_references_are_left_as_they_are(text: str) -> None:
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://hub.example/x", True),
        ("https://HUB.example:443/", True),
        ("https://user@hub.example/", True),
        ("http://hub.example/x", False),
        ("https://hub.example:8443/x", False),
        ("https://hub.example.evil/x", False),
        ("https://hub.example@evil/x", False),
        ("https://hub.example\\@evil/x", False),
        ("//hub.example/x", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_what_counts_as_the_same_server(url: str, same: bool) -> None:
    assert same_origin(url, "https://hub.example") is same
    assert same_origin("https://hub.example", url) is same


@pytest.mark.parametrize("mark", ["?", "#", "%41"])
def test_a_data_folder_cannot_move_the_database(mark: str, qreg: Run, tmp_path: Path) -> None:
    """`?` made it at the path before it, for all such folders the same."""
    data = tmp_path / f"of-me{mark}x"
    found = qreg("list", "--json", env={"QREG_DATA": str(data)})
    assert found.code == 2 and "QREG_DATA" in found.error["remedy"]
    assert not (tmp_path / "of-me").exists()
    server = {"QREG_DATA": str(data), "MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "HOME": "/"}
    assert load(server).data == data
