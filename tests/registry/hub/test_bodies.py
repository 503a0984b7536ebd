"""Large bodies, both ways: by the socket, or as ASGI sends them; whole, cut, silent, too long."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from registry.hub.sinks import FileSink
from tests.own_hub import OwnHub, own_hub

SIZE = 9 * 2**20 + 777  # several pieces, and an end that is no block of a disk


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with own_hub(tmp_path_factory.mktemp("hub") / "registry") as hub:
        yield hub


def _offered(hub: OwnHub, content: bytes) -> str:
    """An address that takes a content."""
    headers = {"Authorization": f"Bearer {hub.writer}"}
    body = {"name": "m", "organization": "org"}
    requests.post(f"{hub.url}/api/repos/create", json=body, headers=headers, timeout=10)
    row = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
    answer = requests.post(
        f"{hub.url}/org/m.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [row]},
        headers=headers,
        timeout=10,
    )
    return str(answer.json()["objects"][0]["actions"]["upload"]["href"])


def _kept(hub: OwnHub, content: bytes) -> bool:
    sha256 = hashlib.sha256(content).hexdigest()
    path = hub.folder / "blobs" / sha256[:2] / sha256
    return path.is_file() and path.read_bytes() == content


def _connected(hub: OwnHub, href: str, *headers: str, method: str = "PUT") -> socket.socket:
    host, _, port = hub.url.removeprefix("http://").rpartition(":")
    peer = socket.create_connection((host, int(port)), timeout=30)
    lines = [f"{method} {href.removeprefix(hub.url)} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    peer.sendall("\r\n".join(lines).encode())
    return peer


@pytest.mark.parametrize("size", [1, 4096, 4 * 2**20, SIZE])
def test_a_body_arrives_whole_and_its_connection_ends(hub: OwnHub, size: int) -> None:
    content = os.urandom(size)
    with requests.Session() as session:
        assert session.put(_offered(hub, content), data=content, timeout=30).status_code == 200
        # Whatever became of the connection, the next request of the same client is answered.
        assert session.get(f"{hub.url}/health", timeout=10).text == "ok\n"
    assert _kept(hub, content)


def test_a_body_that_comes_in_drops(hub: OwnHub) -> None:
    content = os.urandom(2**20 + 1)
    with _connected(hub, _offered(hub, content), f"Content-Length: {len(content)}") as peer:
        for begin in range(0, len(content), 100_000):
            peer.sendall(content[begin : begin + 100_000])
            time.sleep(0.01)
        answer = peer.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower()
    assert _kept(hub, content)


def test_a_client_that_waits_to_be_told_to_go_on(hub: OwnHub) -> None:
    content = os.urandom(SIZE)
    asked = (f"Content-Length: {len(content)}", "Expect: 100-continue")
    with _connected(hub, _offered(hub, content), *asked) as peer:
        assert peer.recv(1000).startswith(b"HTTP/1.1 100")
        peer.sendall(content)
        assert peer.recv(1000).startswith(b"HTTP/1.1 200")
    assert _kept(hub, content)


def test_a_body_of_unknown_length(hub: OwnHub) -> None:
    content = os.urandom(SIZE)
    pieces = (content[i : i + 999_983] for i in range(0, SIZE, 999_983))
    assert requests.put(_offered(hub, content), data=pieces, timeout=30).status_code == 200
    assert _kept(hub, content)


def test_a_body_that_is_cut_is_not_kept(hub: OwnHub) -> None:
    content = os.urandom(SIZE)
    with _connected(hub, _offered(hub, content), f"Content-Length: {len(content)}") as peer:
        peer.sendall(content[: SIZE // 2])
    deadline = time.monotonic() + 20
    while list((hub.folder / "partial").glob("take-*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not _kept(hub, content)


def test_many_at_once_and_readers_beside_them(hub: OwnHub) -> None:
    """Silent uploads hold no thread that reading needs."""
    contents = [os.urandom(100) for _ in range(40)]
    peers = [_connected(hub, _offered(hub, c), "Content-Length: 100") for c in contents]
    try:
        for peer, content in zip(peers, contents, strict=True):
            peer.sendall(content[:50])
        whole = os.urandom(SIZE)
        assert requests.put(_offered(hub, whole), data=whole, timeout=30).status_code == 200
        for peer, content in zip(peers, contents, strict=True):
            peer.sendall(content[50:])
            assert peer.recv(1000).startswith(b"HTTP/1.1 200")
    finally:
        for peer in peers:
            peer.close()
    assert all(_kept(hub, content) for content in contents)


def test_clients_that_go_away_are_no_errors_of_the_hub(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = os.urandom(4 * SIZE)
    with own_hub(tmp_path / "registry") as hub:
        url, length = _committed(hub, content), f"Content-Length: {SIZE}"
        with _connected(hub, _offered(hub, content[:SIZE]), length) as peer:
            peer.sendall(content[: SIZE // 2])  # a large body
        create = f"{hub.url}/api/repos/create"
        with _connected(hub, create, "Content-Length: 99", method="POST") as peer:
            peer.sendall(b"{")  # a small one
        with _connected(hub, url, f"Authorization: Bearer {hub.reader}", method="GET") as peer:
            assert peer.recv(1000)  # an answer
        time.sleep(1)
        assert requests.get(f"{hub.url}/health", timeout=10).text == "ok\n"
        assert hub.stop() == 0
    assert capfd.readouterr().err == ""


def test_a_server_that_ends_does_not_wait_for_a_silent_client(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = os.urandom(SIZE)
    with own_hub(tmp_path / "registry") as hub:
        length = f"Content-Length: {len(content)}"
        with _connected(hub, _offered(hub, content), length) as peer:
            peer.sendall(content[:5_000_000])
            time.sleep(0.5)
            began = time.monotonic()
            hub.stop()
            assert time.monotonic() - began < 45  # requests under way have 30 seconds
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("offset", [0, 4096, 300_000])
def test_a_sink_writes_where_it_should(tmp_path: Path, offset: int) -> None:
    """Offsets that are no blocks of a disk, ends that are none, other bytes left alone."""
    content = os.urandom(5 * 2**20 + 3)
    path = tmp_path / "part"
    path.write_bytes(b"x" * (offset + len(content) + 10))
    handle = os.open(path, os.O_RDWR)
    try:
        sink = FileSink(handle, offset, len(content))
        for begin in range(0, len(content), len(sink.buffer)):
            piece = content[begin : begin + len(sink.buffer)]
            sink.buffer[: len(piece)] = piece
            sink.take(len(piece))
        sink.finish()
    finally:
        os.close(handle)
    assert path.read_bytes() == b"x" * offset + content + b"x" * 10
    assert sink.sha256 == hashlib.sha256(content).hexdigest()
    assert sink.received == len(content)


def test_a_file_is_sent_whole_by_ranges_and_its_connection_goes_on(hub: OwnHub) -> None:
    content = os.urandom(SIZE)
    url, headers = _committed(hub, content), {"Authorization": f"Bearer {hub.reader}"}
    with requests.Session() as session:
        for begin, end in ((0, SIZE), (5, SIZE - 3), (SIZE - 2 * 2**20, SIZE), (7, 9)):
            span = {"Range": f"bytes={begin}-{end - 1}"}
            found = session.get(url, headers={**headers, **span}, timeout=30)
            assert found.content == content[begin:end]
        connections = [pool.num_connections for pool in _pools(session)]
    assert connections == [1]


def test_readers_that_go_away_leave_the_hub_as_it_was(hub: OwnHub) -> None:
    content = os.urandom(SIZE)
    url = _committed(hub, content)
    for _ in range(100):  # more than there are threads
        peer = _connected(hub, url, f"Authorization: Bearer {hub.reader}", method="GET")
        assert peer.recv(1000)
        peer.close()
    headers = {"Authorization": f"Bearer {hub.reader}"}
    assert requests.get(url, headers=headers, timeout=30).content == content


def test_readers_that_wait_do_not_keep_others_waiting(hub: OwnHub) -> None:
    content = os.urandom(4 * SIZE)  # more than sockets hold
    url = _committed(hub, content)
    silent = [
        _connected(hub, url, f"Authorization: Bearer {hub.reader}", method="GET") for _ in range(80)
    ]
    try:
        headers = {"Authorization": f"Bearer {hub.reader}"}
        assert requests.get(url, headers=headers, timeout=30).content == content
    finally:
        for peer in silent:
            peer.close()


def _pools(session: requests.Session) -> list[Any]:
    pools = session.get_adapter("http://").poolmanager.pools  # type: ignore[attr-defined]
    return [pools[key] for key in pools.keys()]  # noqa: SIM118 - it is no mapping


def _committed(hub: OwnHub, content: bytes) -> str:
    """The address of a file with a content."""
    requests.put(_offered(hub, content), data=content, timeout=30)
    sha256 = hashlib.sha256(content).hexdigest()
    file = {"path": f"{sha256}.bin", "algo": "sha256", "oid": sha256, "size": len(content)}
    lines = [{"key": "header", "value": {"summary": "x"}}, {"key": "lfsFile", "value": file}]
    answer = requests.post(
        f"{hub.url}/api/models/org/m/commit/main",
        data="\n".join(map(json.dumps, lines)),
        headers={"Authorization": f"Bearer {hub.writer}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return f"{hub.url}/org/m/resolve/main/{sha256}.bin"


def test_a_part_that_comes_late_does_not_change_the_whole(tmp_path: Path) -> None:
    from registry.errors import TransientError
    from registry.hub.backends.folder import FolderContents
    from registry.stores.blobs import Blobs

    blobs, content = Blobs(tmp_path), os.urandom(8192)
    contents, sha256 = FolderContents(blobs), hashlib.sha256(content).hexdigest()
    first = contents.part("org/m", sha256, 0, 8192)
    late = contents.part("org/m", sha256, 0, 8192)  # the same client's earlier try
    first.buffer[:] = content
    first.take(8192)
    first.keep()
    first.close()
    with pytest.raises(TransientError):  # the late one is not waited for, nor cut off
        contents.join("org/m", sha256, 8192)
    late.buffer[:] = content
    late.take(8192)
    late.keep()
    late.close()
    assert contents.join("org/m", sha256, 8192) == sha256
    again = contents.part("org/m", sha256, 0, 8192)
    again.buffer[:] = bytes(8192)
    again.take(8192)
    again.close()
    assert blobs.path(sha256).read_bytes() == content
