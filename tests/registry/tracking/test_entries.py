"""Looking up MLflow's entries without MLflow, against what MLflow itself says and sends."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from registry.config import Settings
from registry.config import load as load_settings
from registry.errors import NotFoundError, ToolError, TransferError
from registry.progress import Event, Note
from registry.resolve import resolve
from registry.tracking.client import connect
from registry.tracking.entries import Wanted, client, read_tags, rest, sqlite
from registry.transfer.publishing import publish
from serving.identity import free_port
from tests.attacks.servers import Asked, not_found, serving, silent
from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.faults.hostile import NAME, hostile
from tests.registry.tracking.test_tracking import _server

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and its libraries warn of themselves

LOOKUP = """
import sys
from registry.config import load
from registry.resolve import resolve
print(resolve(sys.argv[1], load()).manifest().digest)
sys.exit("MLflow was imported" if "mlflow" in sys.modules else 0)
"""


def _look_up(reference: str, env: dict[str, str] | None = None) -> str:
    """The digest of a reference, found in a process that must not import MLflow."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKUP, reference],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fill(database: Path, models: int) -> None:
    """Register models, a version with two tags and an alias each, in MLflow's own tables."""
    with closing(sqlite3.connect(database)) as connection, connection:
        names = [f"org--other-{number}" for number in range(models)]
        rows = [(name,) for name in names]
        insert = connection.executemany
        insert("INSERT INTO registered_models (name) VALUES (?)", rows)
        insert(
            "INSERT INTO model_versions (name, version, current_stage, status) "
            "VALUES (?, 1, 'None', 'READY')",
            rows,
        )
        insert(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'current', 1)",
            rows,
        )
        for key in ("qreg.reference", "qreg.digest"):
            insert(
                "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, 1, ?, 'x')",
                [(name, key) for name in names],
            )


def test_a_lookup_in_a_large_database_imports_no_mlflow(settings: Settings, tmp_path: Path) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name="org/m")
    fill(settings.mlflow / "mlflow.db", 2000)
    assert _look_up("models:/org--m@current") == str(done.manifest.digest)
    assert _look_up("models:/org/m/1") == str(done.manifest.digest)
    # By its plain name, where nobody else has it.
    assert _look_up("org/m", {"QREG_SOURCES": "models:/"}) == str(done.manifest.digest)


def test_the_file_says_what_mlflow_says(settings: Settings) -> None:
    """Of aliases, numbers, the reserved alias, and versions that were deleted."""
    api = connect(settings)
    api.create_registered_model("org--m")
    for number in (1, 2, 3):
        tags = {"qreg.digest": f"sha256:{number}", "qreg.reference": "file:///x"}
        api.create_model_version("org--m", source="/x", tags=tags, await_creation_for=0)
    api.set_registered_model_alias("org--m", "current", "2")
    api.set_registered_model_alias("org--m", "old", "1")
    api.set_registered_model_alias("org--m", "gone", "3")
    api.delete_model_version("org--m", "3")
    path = sqlite.file_of(settings.registry_uri)
    assert path is not None and sqlite.is_readable(path)
    aliases = [Wanted("org--m", alias=a) for a in ("current", "old", "gone", "none", "latest")]
    numbers = [Wanted("org--m", version=n) for n in ("1", "2", "3", "4")]
    unknown = [Wanted("org--x", alias="current"), Wanted("org--x", version="1")]
    found = {wanted: sqlite.read(wanted, path) for wanted in (*aliases, *numbers, *unknown)}
    assert found == {wanted: client.read(wanted, settings) for wanted in found}
    assert sqlite.read(Wanted("org--m", version="9" * 30), path) is None  # no integer of SQLite's
    assert (found[aliases[0]] or {})["qreg.digest"] == "sha256:2"
    assert found[aliases[2]] is None and found[numbers[2]] is None


def test_a_database_that_is_none_or_of_another_layout(settings: Settings, tmp_path: Path) -> None:
    wanted = Wanted("org--m", alias="current")
    assert read_tags(wanted, settings) is None and not settings.mlflow.exists()
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE model_versions (id INTEGER)")
    assert not sqlite.is_readable(path)  # MLflow's client is asked
    path.write_bytes(b"no database at all" * 99)
    with pytest.raises(ToolError, match=r"other\.db cannot be read: file is not a database"):
        sqlite.is_readable(path)
    for uri in (
        "sqlite:///:memory:",
        "postgresql://u:p@host/db",
        "sqlite:////a?mode=rw",
        "sqlite://",
    ):
        assert sqlite.file_of(uri) is None
    assert sqlite.file_of("sqlite:////a/b.db") == Path("/a/b.db")


def test_a_server_is_asked_without_mlflow(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    served = replace(settings, tracking_uri=url, registry_uri=url)
    with _server(settings, port):
        done = publish(write_quantized(tmp_path / "m"), served, name="org/m")
        server = {"MLFLOW_TRACKING_URI": url}
        assert _look_up("models:/org--m@current", server) == str(done.manifest.digest)
        assert _look_up("models:/org--m/1", server) == str(done.manifest.digest)
        for nothing in ("models:/org--m@none", "models:/org--m/7", "models:/org--x@current"):
            with pytest.raises(NotFoundError, match="has no"):
                resolve(nothing, served)
        # Another path of that server is not MLflow: nothing is said of the model.
        wrong = replace(settings, registry_uri=f"{url}/elsewhere")
        with pytest.raises(TransferError, match="none of MLflow's"):
            resolve("models:/org--m@current", wrong)


@pytest.mark.parametrize(
    ("user", "environment"),
    [
        ("", {}),
        ("", {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p:ä"}),
        ("", {"MLFLOW_TRACKING_TOKEN": "token"}),
        ("", {"MLFLOW_TRACKING_TOKEN": "token", "MLFLOW_TRACKING_USERNAME": "u"}),
        ("me:s%40cret@", {}),
        ("me:secret@", {"MLFLOW_TRACKING_TOKEN": "token"}),
        ("", {"MLFLOW_WORKSPACE": "team"}),
    ],
)
def test_a_server_gets_what_mlflow_would_send(
    user: str,
    environment: dict[str, str],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    entry = {
        "workspaces_enabled": True,
        "model_version": {"name": "m", "version": "1", "tags": [{"key": "a", "value": "b"}]},
    }

    def answer(asked: Asked) -> None:
        asked.answer(json.dumps(entry).encode(), Content_Type="application/json")

    with serving(answer) as server:
        url = server.url.replace("://", f"://{user}")
        theirs = replace(settings, tracking_uri=url, registry_uri=url)
        for wanted in (Wanted("m", alias="current"), Wanted("m", version="1")):
            server.asked.clear()
            assert client.read(wanted, theirs) == rest.read(wanted, url) == {"a": "b"}
            first, second = (
                (a.path, [a.headers.get(n) for n in ("authorization", "x-mlflow-workspace")])
                for a in server.asked
                if "/api/2.0/mlflow/model" in a.path or "/registered-models/" in a.path
            )
            assert first == second


def test_credentials_of_the_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = u\nmlflow_tracking_password = p\n"
    )
    from mlflow.utils.credentials import read_mlflow_creds

    assert read_mlflow_creds() == ("u", "p")
    assert rest.server_of("http://host").headers["Authorization"] == "Basic dTpw"
    (tmp_path / ".mlflow" / "credentials").write_text("no ini")
    assert "Authorization" not in rest.server_of("http://host").headers


def test_a_silent_server_ends_with_7_and_is_named_on_the_way(qreg: Run) -> None:
    with silent() as url:
        ran = qreg("inspect", "models:/org--m@current", "--json", env={"MLFLOW_TRACKING_URI": url})
    assert ran.code == 7, ran.out
    assert '"stage": "asking models:/"' in ran.err


def test_mlflow_does_not_shadow_a_hub(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same artifact is on a hub, and MLflow's record of it names somebody's folder."""
    folder = write_quantized(tmp_path / "m")
    elsewhere = replace(settings, registry=f"file://{tmp_path}/elsewhere")
    publish(folder, elsewhere, name=NAME)
    monkeypatch.delenv("QREG_SOURCES")
    assert load_settings().sources[1:] == ("ms://", "hf://", "models:/")
    with hostile(folder) as hub, serving(not_found) as modelscope:
        for name, value in {**hub.environment, "MODELSCOPE_ENDPOINT": modelscope.url}.items():
            monkeypatch.setenv(name, value)
        # Read when it is imported, which another test may have done.
        address = hub.environment["HF_ENDPOINT"]
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        events: list[Event] = []
        found = resolve(NAME, load_settings(), observe=events.append)
        assert found.reference.startswith("hf://")
        assert not any(isinstance(event, Note) for event in events)
        # Where anyone may register a name, another artifact of that name is told.
        other = write_quantized(tmp_path / "other")
        (other / "generation_config.json").write_text("{}")
        publish(other, elsewhere, name=NAME)
        monkeypatch.setattr("registry.resolve.is_public_hub", lambda url: url == "hf://")
        assert resolve(NAME, load_settings(), observe=events.append).reference == found.reference
        (note,) = (event for event in events if isinstance(event, Note))
        assert note.warning and f"say models:/{NAME} for that one" in note.text
        # What no hub has is MLflow's.
        mine = publish(folder, elsewhere, name="org/only-in-mlflow")
        found_there = _look_up("org/only-in-mlflow", {"HF_ENDPOINT": modelscope.url})
        assert found_there == str(mine.manifest.digest)
