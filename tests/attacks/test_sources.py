"""Dependency confusion: whoever registers a team's name on a public hub waits for an outage."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.config import Settings
from registry.errors import (
    IncompatibleError,
    NotAllowedError,
    NotFoundError,
    QregError,
    ToolError,
    TransferError,
)
from registry.lookup import Place, Wanted, search
from registry.progress import Event, Note
from registry.resolve import resolve
from registry.stores import is_public_hub
from tests.attacks.servers import Asked, not_found, serving, silent
from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.faults.hostile import NAME, Hostile, hostile
from tests.servers import client_of, moto_server

S3 = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "QREG_ATTEMPTS": "6"}


@pytest.fixture
def attacker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    """A hub where the team's name is registered, with a sound model."""
    with hostile(write_quantized(tmp_path / "of-the-attacker")) as hub:
        answer = hub.answer
        # It has one revision, whatever it is called.
        of_any = lambda path, query: answer(path.partition("/revision/")[0], query)  # noqa: E731
        monkeypatch.setattr(hub, "answer", of_any)
        yield hub


@contextmanager
def _quickly(seconds: float = 30) -> Iterator[None]:
    """Within seconds, where patience with transfers is minutes; a busy machine starts slowly."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_a_stopped_bucket_is_no_sign_that_the_name_is_free(qreg: Run, attacker: Hostile) -> None:
    with moto_server() as server:
        client_of(server).create_bucket(Bucket="team")
        environment = {
            **server.environment,
            **attacker.environment,
            "QREG_SOURCES": "s3://team,hf://",
            "QREG_ATTEMPTS": "6",
        }
        # As long as the bucket says that it does not have it, the next place is asked.
        assert qreg("pull", NAME, env=environment).code == 0
    with _quickly():
        found = qreg("pull", NAME, "--json", env=environment)
    assert found.code == 7, found.out
    assert "s3://team" in found.error["message"] and "--allow-fallback" in found.error["remedy"]
    for command in ("inspect", "lint", "plan", "quantize"):
        more = ("--name", "org/x", "--tool", "llmcompressor") if command == "quantize" else ()
        assert qreg(command, NAME, *more, env=environment).code in (2, 7), command
    allowed = qreg("pull", NAME, "--allow-fallback", env=environment)
    assert allowed.code == 0 and "is taken instead" in allowed.err
    set_so = qreg("pull", NAME, env={**environment, "QREG_ALLOW_FALLBACK": "1"})
    assert set_so.code == 0 and "is taken instead" in set_so.err


def test_a_bucket_that_is_gone_is_no_sign_that_the_name_is_free(
    qreg: Run, attacker: Hostile
) -> None:
    with moto_server() as server:
        environment = {**server.environment, **attacker.environment}
        found = qreg("pull", NAME, env={**environment, "QREG_SOURCES": "s3://gone,hf://"})
    assert found.code == 7 and "no bucket" in found.err, found.err


def test_a_disk_that_is_not_mounted_is_no_sign_that_the_name_is_free(
    qreg: Run, attacker: Hostile, tmp_path: Path
) -> None:
    environment = {**attacker.environment, "QREG_SOURCES": f"file://{tmp_path}/mnt/team,hf://"}
    found = qreg("pull", NAME, env=environment)
    assert found.code == 7 and "Mount its disk" in found.err, found.err


@pytest.mark.parametrize("kind", ["silent", "refusing", "unknown", "erring", "page", "not allowed"])
def test_a_hub_that_does_not_say_so_is_no_sign_that_the_name_is_free(
    kind: str, qreg: Run, attacker: Hostile
) -> None:
    """A hub of one's own that is silent, not there, broken, or keeps it from who asks."""
    with _hub(kind) as url, _quickly():
        environment = {**attacker.environment, "MODELSCOPE_ENDPOINT": url, "QREG_STALL": "30"}
        found = qreg("pull", NAME, "--json", env={**environment, "QREG_SOURCES": "ms://,hf://"})
    assert found.code == (4 if kind == "not allowed" else 7), found.out
    assert found.error["message"].startswith("ms:// could not be asked")


@contextmanager
def _hub(kind: str) -> Iterator[str]:
    if kind == "silent":
        with silent() as url:
            yield url
    elif kind == "refusing":
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    elif kind == "unknown":
        yield "http://hub.invalid"
    elif kind == "page":  # a proxy's, or that of a hub that moved to another path
        with serving(lambda asked: asked.answer(b"<p>", 404, Content_Type="text/html")) as server:
            yield server.url
    else:
        status = 503 if kind == "erring" else 403
        with serving(lambda asked: asked.answer(status=status, Retry_After="60")) as server:
            yield server.url


def test_a_hub_of_ones_own_that_says_so_is_believed(qreg: Run, attacker: Hostile) -> None:
    with serving(not_found) as hub:
        environment = {**attacker.environment, "MODELSCOPE_ENDPOINT": hub.url}
        found = qreg("pull", NAME, env={**environment, "QREG_SOURCES": "ms://,hf://"})
        assert found.code == 0 and hub.asked, found.err


def test_mlflow_that_does_not_answer_is_no_sign_that_the_name_is_free(
    qreg: Run, attacker: Hostile
) -> None:
    with silent() as url:
        environment = {**attacker.environment, "MLFLOW_TRACKING_URI": url}
        found = qreg("inspect", NAME, env={**environment, "QREG_SOURCES": "models:/,hf://"})
    assert found.code == 7 and "models:/ could not be asked" in found.err, found.err


def test_a_digest_may_be_taken_from_anywhere(qreg: Run, attacker: Hostile) -> None:
    first = qreg("pull", f"hf://{NAME}", "--json", env=attacker.environment)
    digest = first.json["digest"]
    with silent() as url:
        environment = {**attacker.environment, **S3, "AWS_ENDPOINT_URL_S3": url}
        environment |= {"QREG_SOURCES": "s3://team,hf://"}
        assert qreg("pull", f"{NAME}@{digest}", env=environment).code == 0
        other = f"{NAME}@sha256:{'a' * 64}"
        assert qreg("pull", other, env=environment).code == 5


def _place(url: str) -> Place:
    return Place(url, here=False)


class _Has:
    reference = "found"


def _asking(errors: dict[str, QregError]) -> Callable[[str], _Has]:
    def ask(url: str) -> _Has:
        if url in errors:
            raise errors[url]
        return _Has()

    return ask


@pytest.mark.parametrize(
    "error",
    [
        TransferError("silent"),
        NotAllowedError("refused"),
        ToolError("erred"),
        IncompatibleError("not installed"),
    ],
)
def test_between_public_hubs_it_moves_on_and_says_so(
    error: QregError, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    events: list[Event] = []
    wanted = Wanted("acme/x", pinned=False, lenient=False)
    places = [_place("ms://"), _place("hf://")]
    assert search(wanted, places, _asking({"ms://": error}), events.append).reference == "found"
    notes = [event for event in events if isinstance(event, Note)]
    assert len(notes) == 1 and "ms:// could not be asked" in notes[0].text
    # From one's own to a public hub it never does.
    for own in ("s3://team", "file:///mnt/team", "models:/", "vendor://team"):
        with pytest.raises(QregError, match=f"{own} could not be asked"):
            search(wanted, [_place(own), *places], _asking({own: error}), events.append)
    with pytest.raises(NotFoundError):
        search(
            wanted,
            places,
            _asking(dict.fromkeys(("ms://", "hf://"), NotFoundError("no"))),
            events.append,
        )


@pytest.mark.parametrize(
    ("variables", "public"),
    [
        ({}, True),
        ({"HF_ENDPOINT": "https://huggingface.co/"}, True),
        ({"HF_ENDPOINT": "https://hub.acme.example"}, False),
        ({"HF_ENDPOINT": "https://huggingface.co.acme.example"}, False),
        ({"HF_ENDPOINT": "http://127.0.0.1:8090"}, False),
    ],
)
def test_only_public_hubs_count_as_such(
    variables: dict[str, str], public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_public_hub("hf://") is public
    assert not is_public_hub("s3://huggingface.co")


def test_two_silent_public_hubs_cost_ten_seconds_not_twenty(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one is asked while the first one thinks; patience with transfers stays."""
    monkeypatch.setattr("registry.lookup.is_public_hub", lambda url: True)
    monkeypatch.setenv("HF_TOKEN", "hf_x")  # else its library is imported to look for one
    monkeypatch.setenv("QREG_ATTEMPTS", "6")
    monkeypatch.setenv("QREG_STALL", "30")
    from dataclasses import replace

    with silent() as url, _quickly(15):
        monkeypatch.setattr("registry.stores.huggingface.snapshot.endpoint", lambda: url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        for name, value in S3.items():
            monkeypatch.setenv(name, value)
        both = replace(settings, sources=("s3://bucket", "hf://"))
        with pytest.raises(TransferError, match="could not be asked"):
            resolve("acme/x", both)


def test_an_answer_that_takes_its_time_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is cut short, not work: a listing that comes in pieces may take longer than that."""
    from dataclasses import replace

    monkeypatch.setattr("registry.asking.LONGEST", 1.5)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    body = json.dumps({"sha": "c0ffee", "siblings": []}).encode()

    def slowly(asked: Asked) -> None:
        asked.handler.send_response(200)
        asked.handler.send_header("Content-Length", str(len(body)))
        asked.handler.end_headers()
        for begin in range(0, len(body), 8):
            asked.handler.wfile.write(body[begin : begin + 8])
            time.sleep(0.6)

    with serving(slowly) as hub:
        monkeypatch.setattr("registry.stores.huggingface.snapshot.endpoint", lambda: hub.url)
        found = resolve("acme/x", replace(settings, sources=("hf://",)))
    assert found.reference == "hf://acme/x@c0ffee"
