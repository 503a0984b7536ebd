"""Services that answer, refuse and keep silent."""

from __future__ import annotations

import base64
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from registry.config import Settings
from registry.doctor import Check, Look, run_looks
from registry.doctor.asking import Clocks
from registry.doctor.machine import clock, folders, libraries
from registry.doctor.run import registry_looks
from registry.doctor.services import mlflow, s3
from registry.tracking.client import connect
from serving.identity import free_port
from tests.registry.tracking.test_tracking import _server
from tests.servers import client_of, moto_server, swift_server


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@contextmanager
def _service(status: int, body: bytes = b"", *, date: float | None = None) -> Iterator[str]:
    """A server that answers everything with one status; only that counts here."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(date if date else time.time(), usegmt=True))
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def _silence() -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _mlflow(settings: Settings, url: str) -> Check:
    away = replace(settings, tracking_uri=url, registry_uri=url)
    (check,) = mlflow(away, Clocks())
    return check


def test_401_403_and_silence_are_three_things(settings: Settings) -> None:
    told = {}
    for status in (200, 401, 403, 404, 503):
        with _service(status) as url:
            told[status] = _mlflow(settings, url)
    with _silence() as url:
        told[0] = _mlflow(settings, url)
    told[1] = _mlflow(settings, f"http://127.0.0.1:{free_port()}")
    assert told[200].status == "ok"
    assert "missing or not known there (HTTP 401)" in told[401].found
    assert "MLFLOW_TRACKING_USERNAME" in told[401].fix
    assert "may not do this (HTTP 403)" in told[403].found
    assert "Ask whoever looks after it" in told[403].fix
    assert "as another service would" in told[404].found
    assert "overloaded or down" in told[503].found
    assert "no answer within 3 seconds" in told[0].found
    assert "no connection" in told[1].found
    # Work goes on without MLflow: none of them stops a launch.
    assert {check.status for key, check in told.items() if key != 200} == {"warning"}


def test_a_real_tracking_server(settings: Settings) -> None:
    port = free_port()
    with _server(settings, port):
        check = _mlflow(settings, f"http://127.0.0.1:{port}")
    assert check.status == "ok" and "can be read" in check.found


@contextmanager
def _signed_server(folder: Path, user: str, password: str) -> Iterator[str]:
    """A tracking server over https, with a certificate of its own, that lets one user in."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    known = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers.get("Authorization") == known else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that does not trust the certificate hangs up."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_certificates_and_credentials_are_those_of_mlflow(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MLflow reads them (3.17: utils/rest_utils.py, utils/credentials.py)."""
    with _signed_server(tmp_path, "me", "topsecret") as url:
        unknown = _mlflow(settings, url)
        assert "certificate is not trusted" in unknown.found
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in unknown.fix
        monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
        assert "(HTTP 401)" in _mlflow(settings, url).found
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(
            "[mlflow]\nmlflow_tracking_username = me\nmlflow_tracking_password = topsecret\n"
        )
        assert _mlflow(settings, url).status == "ok"
        monkeypatch.delenv("MLFLOW_TRACKING_INSECURE_TLS")
        certificate = tmp_path / "certificate.pem"
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        assert _mlflow(settings, url).status == "ok"
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "none.pem"))
        missing = _mlflow(settings, url)
        assert missing.status == "warning" and "none.pem" in missing.found
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        monkeypatch.setenv("MLFLOW_TRACKING_AWS_SIGV4", "true")  # what only MLflow can sign
        assert _mlflow(settings, url).status == "unknown"
    assert "topsecret" not in str((unknown, missing))


def test_a_password_is_never_shown(settings: Settings) -> None:
    with _service(401) as url:
        check = _mlflow(settings, url.replace("//", "//me:topsecret@"))
    assert "topsecret" not in str(check)


def test_the_embedded_database(settings: Settings) -> None:
    (check,) = mlflow(settings, Clocks())
    assert check.status == "ok" and "is made with the first run" in check.found
    connect(settings)
    (check,) = mlflow(settings, Clocks())
    assert check.status == "ok" and "(0 runs)" in check.found
    (settings.mlflow / "mlflow.db").write_bytes(b"no database" * 100)
    (check,) = mlflow(settings, Clocks())
    assert check.status == "warning" and "cannot be read" in check.found


def test_buckets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with moto_server() as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        client_of(server).create_bucket(Bucket="there")
        there, missing = s3(("s3://there/some", "s3://missing-bucket"), Clocks())
    assert there.status == "ok"
    assert missing.status == "warning" and "does not exist" in missing.found
    (away,) = s3(("s3://there",), Clocks())
    assert away.status == "warning" and "does not answer" in away.found


def test_a_real_server_that_rejects_a_signature(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with swift_server(tmp_path / "swift") as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        client_of(server).create_bucket(Bucket="there")
        (right,) = s3(("s3://there",), Clocks())
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
        (wrong,) = s3(("s3://there",), Clocks())
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        (unknown,) = s3(("s3://there",), Clocks())
    assert right.status == "ok"
    for check in (wrong, unknown):
        assert check.status == "warning" and "(HTTP 401)" in check.found, check
        assert "another-secret" not in str(check)


@pytest.mark.parametrize(
    ("code", "said"),
    [("InvalidAccessKeyId", "(HTTP 401)"), ("AccessDenied", "(HTTP 403)"),
     ("RequestTimeTooSkewed", "the clock of this machine")],
)  # fmt: skip
def test_s3_names_its_reasons(monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    """S3's error codes, all with 403 (Amazon S3 API reference, "Error responses")."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>No</Message></Error>"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with _service(403, body.encode()) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        (check,) = s3(("s3://bucket",), Clocks())
    assert said in check.found and check.status == "warning"


def test_a_clock_that_is_wrong(settings: Settings) -> None:
    clocks = Clocks()
    with _service(200, date=time.time() - 1200) as url:
        _ = list(mlflow(replace(settings, tracking_uri=url), clocks))
    check = clock(clocks.offsets)
    assert check.status == "warning" and "1200 s fast" in check.found.replace("1201", "1200")
    assert "S3 refuses" in check.found and "set-ntp" in check.fix
    assert clock({}).status == "unknown"
    assert clock({"a": 4000.0, "b": 1.0}).status == "ok"  # a's own clock is wrong


def test_offline_asks_nobody(settings: Settings) -> None:
    checks = run_looks(registry_looks(replace(settings, offline=True)))
    (check,) = [c for c in checks if c.id in ("services", "mlflow", "clock", "huggingface")]
    assert check.status == "unknown" and "QREG_OFFLINE" in check.found


def test_libraries_that_do_not_fit() -> None:
    versions = {"click": "7.0", "mlflow": "3.17.2"}

    def version_of(name: str) -> str:
        from importlib.metadata import PackageNotFoundError

        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    needs = ["click>=8.2", "mlflow<3.18,>=3.10", "rich>=13", "boto3>=1.36; extra == 's3'",
             "mypy>=1; extra == 'dev'", "colorama; sys_platform == 'win32'"]  # fmt: skip
    old, missing = libraries(needs, version_of)
    assert (old.status, old.where) == ("warning", "click") and "pip install 'click>=8.2'" in old.fix
    assert (missing.status, missing.where) == ("error", "rich")
    assert [check.status for check in libraries()] == ["ok"]


def test_folders_that_cannot_be_written_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (check,) = folders(settings)  # one file system, one line
    assert check.status in ("ok", "warning")
    monkeypatch.setattr("registry.doctor.machine.os.access", lambda *_: False)  # root may write
    assert {check.status for check in folders(settings)} == {"error"}


def test_a_look_that_hangs_or_fails_hides_no_other() -> None:
    def fails() -> Iterator[Check]:
        raise RuntimeError("https://me:secret@host/ is odd")
        yield

    looks = (
        Look("hung", lambda: time.sleep(30) or ()),
        Look("odd", fails),
        Look("fine", lambda: (Check("fine", "ok", "All is well"),)),
    )
    began = time.monotonic()
    hung, odd, fine = run_looks(looks, 0.3)
    assert time.monotonic() - began < 2
    assert (hung.status, odd.status, fine.status) == ("unknown", "unknown", "ok")
    assert "secret" not in odd.found
