"""Hubs whose answers name other servers, or do not end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from registry.artifact import FileEntry
from registry.errors import QregError, TransferError
from registry.stores.huggingface import HuggingFaceSnapshot
from registry.stores.huggingface.upload import HuggingFaceUpload, Outgoing
from registry.stores.modelscope import ModelScopeSnapshot
from registry.stores.s3.bucket import Bucket
from registry.stores.uploading import Tally
from registry.transport import Patience, Transport
from registry.transport.guard import require_safe_redirect
from tests.attacks.servers import Asked, serving
from tests.conftest import Run

TOKEN = "hf_canary_0123456789"
_ONCE = Patience(attempts=1, stall=5.0)


@pytest.fixture(autouse=True)
def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QREG_ATTEMPTS", "1")
    monkeypatch.setenv("QREG_STALL", "5")
    from modelscope_hub.config import set_default_config

    set_default_config(None)  # it keeps the first endpoint that it saw


def _transport(origin: str) -> Transport:
    headers = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"m_session_id={TOKEN}"}
    return Transport(headers, _ONCE, origin=origin)


def _upload(hub: str, folder: Path, actions: Any) -> None:
    """Send one large file to a hub that answers where it should go with `actions`."""
    file = folder / "model.safetensors"
    file.write_bytes(b"weights!")
    entry = FileEntry(file.name, 8, "a" * 64)
    upload = HuggingFaceUpload(hub, "org/name", "main", _transport(hub))
    upload.put(Outgoing(entry, file), actions, Tally(8, lambda event: None))


def test_an_upload_elsewhere_does_not_take_the_token_along(tmp_path: Path) -> None:
    """The verify action, and the completion of an upload in parts, at a server of the attacker."""
    with (
        serving(lambda asked: asked.answer({}, ETag="x")) as thief,
        serving(lambda asked: asked.answer({}, ETag="x")) as hub,
    ):
        verify = {"href": f"{thief.url}/verify", "header": {"X-Own": "of the answer"}}
        _upload(hub.url, tmp_path, {"upload": {"href": f"{hub.url}/put"}, "verify": verify})
        parts = {"chunk_size": "8", "1": f"{thief.url}/part"}
        _upload(hub.url, tmp_path, {"upload": {"href": f"{thief.url}/complete", "header": parts}})
        assert [one.path for one in thief.asked] == ["/verify", "/part", "/complete"]
        assert not thief.saw(TOKEN)
        # What the answer itself names for that address is sent, and the hub's own gets the token.
        assert thief.asked[0].headers["x-own"] == "of the answer"
        home = {"href": f"{hub.url}/verify"}
        _upload(hub.url, tmp_path, {"upload": {"href": f"{hub.url}/put"}, "verify": home})
        assert hub.asked[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_an_upload_to_modelscope_does_not_take_the_token_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.stores.modelscope import ModelScopeStore

    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights!")
    with serving(lambda asked: asked.answer({})) as thief:

        def batch(asked: Asked) -> None:
            row = {"oid": "a" * 64, "actions": {"upload": {"href": f"{thief.url}/put"}}}
            asked.answer({"Code": 200, "Success": True, "Data": {"objects": [row]}})

        with serving(batch) as hub:
            monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
            send = ModelScopeStore()._send
            entry = FileEntry(file.name, 8, "a" * 64)
            send("org/name", {file.name: (entry, file)}, Tally(8, lambda event: None))
            assert hub.saw(TOKEN) and not thief.saw(TOKEN)
            assert [one.method for one in thief.asked] == ["PUT"]


def test_a_redirect_does_not_take_the_token_along() -> None:
    """To another port of the same host, too: it may be another user's."""
    with serving(lambda asked: asked.answer(b"12345678")) as thief:
        with serving(lambda asked: asked.answer(status=302, Location=thief.url)) as hub:
            transport = _transport(hub.url)
            assert transport.request("GET", "x", f"{hub.url}/x").content == b"12345678"
            with transport.stream("x", f"{hub.url}/x", 0, 8) as stream:
                stream.readinto(memoryview(bytearray(8)))
        assert len(thief.asked) == 2 and not thief.saw(TOKEN)


def test_a_cookie_of_the_hub_goes_to_no_other_port() -> None:
    with (
        serving(lambda asked: asked.answer()) as other,
        serving(lambda asked: asked.answer(Set_Cookie="session=canary; Path=/")) as hub,
    ):
        transport = _transport(hub.url)
        transport.request("GET", "x", hub.url)
        transport.request("GET", "x", other.url)
        assert not other.saw("canary")


def test_the_library_of_modelscope_keeps_the_token_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session has a cookie for the host, at whatever port."""
    from registry.stores.modelscope.client import connect

    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    with serving(lambda asked: asked.answer({"Code": 200, "Data": {}})) as thief:
        with serving(lambda asked: asked.answer(status=302, Location=f"{thief.url}/x")) as hub:
            monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
            connect().legacy.get_repo_info("org/name", "model")
            assert hub.saw(TOKEN)
        assert thief.asked and not thief.saw(TOKEN)


def test_redirects_end() -> None:
    with serving(lambda asked: asked.answer(status=302, Location=f"{asked.path}x")) as hub:
        with pytest.raises(TransferError, match="again and again"):
            _transport(hub.url).request("GET", "x", f"{hub.url}/x")
        assert len(hub.asked) == 6


@pytest.mark.parametrize(
    ("target", "credentials"),
    [("http://hub.example/x", True), ("http://127.0.0.1/x", True), ("http://cdn.example/x", False)],
)
def test_a_redirect_to_where_others_read_along_is_refused(target: str, credentials: bool) -> None:
    with pytest.raises(TransferError, match="without encryption"):
        require_safe_redirect("https://hub.example/x", target, credentials=credentials)
    require_safe_redirect("https://hub.example/x", "/y", credentials=True)
    require_safe_redirect("http://hub.example/x", target, credentials=credentials)


_LISTING = """
import pathlib
import re
from registry.errors import TransferError
from registry.stores.huggingface import HuggingFaceSnapshot
from registry.stores.modelscope import ModelScopeSnapshot

try:
    {scheme}("org/name")
except TransferError as error:
    print(error.message)
print(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize("scheme", ["HuggingFaceSnapshot", "ModelScopeSnapshot"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_listing_without_end_is_given_up(scheme: str, packed: bool) -> None:
    """Half a MB of gzip that unpacks to half a GB, and a listing that goes on and on."""
    bomb = _bomb()

    def handle(asked: Asked) -> None:
        if packed:
            asked.answer(bomb, Content_Encoding="gzip")
        else:
            asked.answer_without_end(b'{"rfilename":"x","size":1},' * 40_000)

    with serving(handle) as hub:
        done = subprocess.run(
            [sys.executable, "-c", _LISTING.format(scheme=scheme)],
            env={
                **os.environ,
                "HF_ENDPOINT": hub.url,
                "HF_TOKEN": TOKEN,
                "MODELSCOPE_ENDPOINT": hub.url,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert "larger than 64 MiB" in done.stdout, done.stderr
    assert (
        int(done.stdout.split()[-1]) < 300_000
    )  # KiB; of the old code, much more than the half GB


def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    return b"".join([*(packer.compress(zeros) for _ in range(512)), packer.flush()])


def test_an_error_without_end_is_not_read() -> None:
    def handle(asked: Asked) -> None:
        asked.handler.send_response(404)
        asked.handler.send_header("Connection", "close")
        asked.handler.end_headers()
        while True:
            asked.handler.wfile.write(bytes(2**20))

    with serving(handle) as hub, pytest.raises(QregError, match="404"):
        _transport(hub.url).request("GET", "x", hub.url)


def test_json_of_millions_of_values_is_refused() -> None:
    """12 MB of `{},` become half a GB of Python's objects."""
    content = b'{"sha":"x","siblings":[' + b"{}," * 4_000_000 + b"{}]}"
    with (
        serving(lambda asked: asked.answer(content)) as hub,
        pytest.raises(TransferError, match="more than 5,000,000 values"),
    ):
        _snapshot(hub.url)


def test_nested_json_is_no_fault_of_qreg() -> None:
    content = b'{"sha":"x","siblings":' + b"[" * 500_000
    with (
        serving(lambda asked: asked.answer(content)) as hub,
        pytest.raises(TransferError, match="malformed"),
    ):
        _snapshot(hub.url)


def _snapshot(url: str) -> None:
    with mock.patch("registry.stores.huggingface.snapshot.endpoint", lambda: url):
        HuggingFaceSnapshot("org/name")


@pytest.mark.parametrize("rows", [1000, 0])
def test_a_bucket_without_end_is_given_up(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that always name a next one, with objects and without."""
    page = 0

    def handle(asked: Asked) -> None:
        nonlocal page
        page += 1
        keys = "".join(
            f"<Contents><Key>k{page}-{number}</Key><Size>1</Size></Contents>"
            for number in range(rows)
        )
        asked.answer(
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page}"
            f"</NextContinuationToken>{keys}</ListBucketResult>".encode()
        )

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("registry.transport.answers.MAX_ENTRIES", 20_000)
    monkeypatch.setattr("registry.stores.s3.bucket._EMPTY_PAGES", 20)
    with serving(handle) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        with pytest.raises(TransferError, match=r"more than 20,000|does not end"):
            for _ in Bucket("bucket").list("org/"):
                pass


def test_a_listing_of_more_files_than_there_can_be_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{"Path": f"f{n}", "Size": 1, "Sha256": "a" * 64} for n in range(3)]
    monkeypatch.setattr("registry.transport.answers.MAX_ENTRIES", 2)
    body = json.dumps({"Code": 200, "Success": True, "Data": {"Files": rows}}).encode()
    with serving(lambda asked: asked.answer(body)) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        with pytest.raises(TransferError, match="more than 2 entries"):
            ModelScopeSnapshot("org/name")


@pytest.mark.parametrize("told", ["../" * 20 + "{victim}", "ABC", {"a": 1}, ["x"], "0" * 65])
def test_a_sha256_of_a_listing_is_no_path(told: Any, qreg: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("12345")
    (tmp_path / "notes.bak").write_text("precious")
    if isinstance(told, str):
        told = told.replace("{victim}", f"{tmp_path}/notes".lstrip("/"))
    rows = [{"rfilename": "config.json", "size": 2, "blobId": "0" * 40}]
    rows.append({"rfilename": "notes", "size": 5, "lfs": {"sha256": told, "size": 5}})
    document = {"sha": "0" * 40, "siblings": rows}
    with serving(lambda asked: asked.answer(document)) as hub:
        pulled = qreg("pull", "hf://acme/model", env={"HF_ENDPOINT": hub.url})
    assert pulled.code in (5, 7), pulled.err
    assert {path.name for path in tmp_path.glob("notes*")} == {"notes.txt", "notes.bak"}
