"""Strangers and their requests, against a running hub: what is too much, malformed, or borrowed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from registry.hub.commits import Commit
from tests.own_hub import OwnHub, own_hub

MODEL = "acme/m"
MIB = 2**20


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    """A hub with one public repository."""
    with own_hub(tmp_path_factory.mktemp("hub") / "registry") as hub:
        _create(hub)
        yield hub


@pytest.fixture(scope="module")
def open_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    """One that lets everyone do everything."""
    with own_hub(tmp_path_factory.mktemp("open") / "registry", "--open") as hub:
        _create(hub)
        yield hub


def _create(hub: OwnHub, name: str = MODEL) -> None:
    org, _, short = name.partition("/")
    body = {"organization": org, "name": short, "visibility": "public"}
    answer = requests.post(
        f"{hub.url}/api/repos/create", json=body, headers=_token(hub), timeout=30
    )
    assert answer.status_code == 200, answer.text


def _token(hub: OwnHub) -> dict[str, str]:
    return {"Authorization": f"Bearer {hub.writer}"}


def _memory(hub: OwnHub) -> float:
    """MiB that the hub has in use."""
    return float(psutil.Process(hub.process.pid).memory_info().rss) / MIB


def _connected(hub: OwnHub, head: str = "", body: bytes = b"") -> socket.socket:
    """A connection on which lines of a head, and what follows it, were sent."""
    host, _, port = hub.url.removeprefix("http://").rpartition(":")
    peer = socket.create_connection((host, int(port)), timeout=30)
    if head:
        peer.sendall(head.replace("\n", "\r\n").encode("latin-1") + body)
    return peer


def _status(peer: socket.socket) -> int:
    """The status that a connection is answered with; 0 if it is closed without an answer."""
    with suppress(ConnectionError):
        line = peer.recv(100)
        return int(line.split()[1]) if line.startswith(b"HTTP/1.") else 0
    return 0


def _closed(peer: socket.socket, seconds: float) -> bool:
    """Whether the other side closes a connection in time."""
    peer.settimeout(seconds)
    try:
        while peer.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


# ---- who asks is looked at before what is asked


@pytest.mark.parametrize(
    "path",
    [
        "POST /api/repos/create",
        "DELETE /api/repos/delete",
        f"PUT /api/models/{MODEL}/settings",
        f"POST /api/models/{MODEL}/tag/main",
        f"POST /api/models/{MODEL}/branch/b",
        f"POST /api/models/{MODEL}/preupload/main",
        f"POST /api/models/{MODEL}/commit/main",
        f"POST /{MODEL}.git/info/lfs/objects/batch",
        "POST /api/v1/models",
        f"POST /api/v1/models/{MODEL}/repo/tag",
        f"POST /api/v1/repos/models/{MODEL}/info/lfs/objects/batch",
        f"POST /api/v1/repos/models/{MODEL}/commit/master",
        "POST /api/models/acme/absent/paths-info/main",
    ],
)
def test_a_stranger_is_refused_before_the_body(hub: OwnHub, path: str) -> None:
    # Nothing of the body is sent: whoever waits for it does not answer.
    with _connected(hub, f"{path} HTTP/1.1\nHost: x\nContent-Length: 1000000\n\n") as peer:
        assert _status(peer) in (401, 404)


def test_a_large_login_is_refused_by_its_length(hub: OwnHub) -> None:
    head = f"POST /api/v1/login HTTP/1.1\nHost: x\nContent-Length: {15 * MIB}\n\n"
    with _connected(hub, head) as peer:
        assert _status(peer) == 413


def test_silent_bodies_of_strangers_hold_no_memory(hub: OwnHub) -> None:
    before = _memory(hub)
    path = f"POST /api/models/{MODEL}/paths-info/main HTTP/1.1\nHost: x\n"
    kind = "Content-Type: application/x-www-form-urlencoded\n"
    with ExitStack() as peers:
        for _ in range(30):
            head = f"{path}{kind}Content-Length: {16 * MIB}\n\n"
            peer = peers.enter_context(_connected(hub, head))
            with suppress(ConnectionError):
                peer.sendall(b"a" * 15 * MIB)
        time.sleep(1)
        # Within what is allowed by its length, they share one budget.
        for _ in range(40):
            head = f"{path}{kind}Content-Length: {4 * MIB}\n\n"
            peer = peers.enter_context(_connected(hub, head))
            with suppress(ConnectionError):
                peer.sendall(b"a" * (4 * MIB - 1))
        time.sleep(1)
        assert _memory(hub) - before < 120
        # And what is small has its place all the time.
        answer = requests.post(
            f"{hub.url}/api/models/{MODEL}/paths-info/main", data={"paths": ["x"]}, timeout=10
        )
        assert answer.json() == []


def test_a_refused_body_is_not_received_for_ever(hub: OwnHub) -> None:
    head = f"POST /api/repos/create HTTP/1.1\nHost: x\nContent-Length: {2**40}\n\n"
    with _connected(hub, head) as peer:
        assert _status(peer) == 401
        assert _closed(peer, 25)


# ---- malformed requests


BAD = {
    "other-type": b'{"files": 5, "objects": 5, "paths": 5, "actions": 5, "tag": 5, "TagName": 5}',
    "null": b'{"files": null, "objects": null, "paths": null, "actions": null}',
    "missing": b"{}",
    "row-null": b'{"files": [null], "objects": [null], "paths": [null], "actions": [null]}',
    "row-empty": b'{"files": [{}], "objects": [{}], "paths": [{}], "actions": [{}]}',
    "no-object": b"[]",
    "no-json": b"{",
    "text-size": b'{"files": [{"path": "x", "size": "x"}], "objects": [{"oid": "x", "size": "x"}]}',
    "huge": b'{"files": [{"path": "x", "size": 1e400}], "objects": [{"oid": "x", "size": 1e400}]}',
    "nan": b'{"files": [{"path": "x", "size": NaN}], "objects": [{"oid": "x", "size": NaN}]}',
    "negative": b'{"files": [{"path": "x", "size": -1}], "objects": [{"oid": "x", "size": -1}]}',
    "digits": b'{"files": [{"path": "x", "size": %s}], "objects": [{"oid": "x", "size": %s}]}'
    % (b"9" * 5000, b"9" * 5000),
    "deep": b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "surrogate": b'{"tag": "\\ud800", "files": [{"path": "\\ud800"}], "paths": ["\\ud800"]}',
    "no-utf-8": b'{"tag": "\xff", "TagName": "\xff", "files": [{"path": "\xff"}]}',
}
ROUTES = [
    "/api/repos/create",
    f"/api/models/{MODEL}/tag/main",
    f"/api/models/{MODEL}/preupload/main",
    f"/api/models/{MODEL}/paths-info/main",
    f"/{MODEL}.git/info/lfs/objects/batch",
    "/api/v1/login",
    "/api/v1/models",
    f"/api/v1/models/{MODEL}/repo/tag",
    f"/api/v1/repos/models/{MODEL}/info/lfs/objects/batch",
    f"/api/v1/repos/models/{MODEL}/commit/master",
]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("bad", BAD)
def test_a_malformed_body_is_refused_with_a_reason(hub: OwnHub, path: str, bad: str) -> None:
    headers = {**_token(hub), "Content-Type": "application/json"}
    answer = requests.post(f"{hub.url}{path}", data=BAD[bad], headers=headers, timeout=30)
    found = answer.json()
    assert answer.status_code == 400, answer.text
    assert found.get("error") or found["Message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("preupload/main", {"files": 5}, "files must be a list, not a whole number"),
        ("preupload/main", {"files": [{"path": 1}]}, "files[0].path must be a text"),
        ("preupload/main", {"files": [{"path": "x", "size": -1}]}, "files[0].size must be"),
        ("paths-info/main", {}, "lacks paths"),
        ("tag/main", {"tag": None}, "tag must be a text, not null"),
    ],
)
def test_a_refusal_names_the_field(hub: OwnHub, path: str, body: object, field: str) -> None:
    answer = requests.post(
        f"{hub.url}/api/models/{MODEL}/{path}", json=body, headers=_token(hub), timeout=30
    )
    assert answer.status_code == 400 and field in answer.json()["error"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"key": "file", "value": 5}',
        b'{"key": "file", "value": {"path": "x", "content": 5}}',
        b'{"key": "file", "value": {"path": "x", "content": "!", "encoding": "base64"}}',
        b'{"key": "file", "value": {"path": "x", "content": "\\ud800"}}',
        b'{"key": "file", "value": {"path": "../x", "content": ""}}',
        b'{"key": "lfsFile", "value": {"path": "x", "oid": 5, "size": 5}}',
        b'{"key": "lfsFile", "value": {"path": "x", "oid": "' + b"0" * 64 + b'"}}',
        b'{"key": "lfsFile", "value": {"path": "x", "oid": "' + b"0" * 64 + b'", "size": 1e400}}',
        b'{"key": "deletedFile", "value": {}}',
        b'{"key": "what", "value": {}}',
        b'{"key": ["file"], "value": {}}',
        b'{"key": "header", "value": {"summary": 5}}',
        b'{"key": "file", "value": {"path": "' + b"a/" * 300 + b'a"}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_malformed_line_of_a_commit_is_refused(hub: OwnHub, line: bytes) -> None:
    headers = {**_token(hub), "Content-Type": "application/x-ndjson"}
    url = f"{hub.url}/api/models/{MODEL}/commit/main"
    answer = requests.post(url, data=b'{"key": "header", "value": {}}\n' + line, headers=headers,
                           timeout=30)  # fmt: skip
    assert answer.status_code == 400 and answer.json()["error"], answer.text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/models?limit=%C2%B2", 400),
        ("/api/models?limit=" + "9" * 5000, 400),
        ("/api/models?limit=-1", 400),
        (f"/api/models/{MODEL}/tree/main?cursor=%C2%B2", 400),
        (f"/api/models/{MODEL}/tree/main?cursor=" + "9" * 5000, 400),
        ("/api/models?limit=\xc2\xb2", 400),  # as bytes, which an address has not
        (f"/api/models/{MODEL}/tree/main?x=\xff", 400),
        (f"/api/models/{MODEL}/tree/main%00", 404),
        (f"/api/models/{MODEL}/tree/%00", 404),
        (f"/{MODEL}/resolve/main/%00", 404),
        (f"/{MODEL}/resolve/main/..%2F..%2Fhub%2Fsecret", 404),
        (f"/{MODEL}/resolve/%2e%2e%2fx/a", 404),
        ("/api/models/acme%2Fm/tree/main", 200),  # as clients write a name
        ("/acme%00/m/resolve/main/x", 404),
        (f"/upload/{'0' * 64}/{'9' * 5000}?until=9&signature=0", 403),
        (f"/upload/{'0' * 64}?size={'9' * 5000}&until={'9' * 5000}&signature=0", 403),
        (f"/upload/{'0' * 64}?size=1&xuntil={'9' * 5000}&signature=0", 403),
        (f"/upload/{'0' * 64}?size=%C2%B2&until=%C2%B2&signature=%C2%B2", 403),
    ],
)
def test_a_malformed_address_is_refused(hub: OwnHub, target: str, status: int) -> None:
    method = "PUT" if target.startswith("/upload") else "GET"
    with _connected(hub, f"{method} {target} HTTP/1.1\nHost: x\nContent-Length: 0\n\n") as peer:
        assert _status(peer) == status


@pytest.mark.parametrize(
    "span", ["bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 99, "bytes=-" + "9" * 5000]
)
def test_a_huge_range_is_no_fault(hub: OwnHub, span: str) -> None:
    _commit(hub, {"range.txt": b"0123456789"})
    url = f"{hub.url}/{MODEL}/resolve/main/range.txt"
    answer = requests.get(url, headers={"Range": span}, timeout=30)
    assert answer.status_code in (200, 206, 416)
    assert answer.status_code == 416 or answer.content == b"0123456789"


JUNK = [
    "\x16\x03\x01\n\n",
    "GET\n\n",
    "GET / HTTP/9.9\n\n",
    "CONNECT x:1 HTTP/1.1\n\n",
    "GET /\xff HTTP/1.1\n\n",
    "GET / HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade\nHost: x\n\n",
]


def test_nothing_that_strangers_send_is_a_fault_of_the_hub(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with own_hub(tmp_path / "registry") as hub:
        _create(hub)
        for path in ROUTES:
            for body in BAD.values():
                for headers in ({}, _token(hub)):
                    headers = {**headers, "Content-Type": "application/json"}
                    requests.post(f"{hub.url}{path}", data=body, headers=headers, timeout=30)
        for junk in JUNK:
            with _connected(hub, junk) as peer:
                _status(peer)
        assert requests.get(f"{hub.url}/health", timeout=10).text == "ok\n"
        assert hub.stop() == 0
    assert capfd.readouterr().err == ""


# ---- too much


def _commit(hub: OwnHub, files: dict[str, bytes], name: str = MODEL) -> None:
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "x"}}]
    for path, content in files.items():
        encoded = base64.b64encode(content).decode()
        value = {"path": path, "content": encoded, "encoding": "base64"}
        lines.append({"key": "file", "value": value})
    answer = requests.post(
        f"{hub.url}/api/models/{name}/commit/main",
        data="\n".join(map(json.dumps, lines)),
        headers={**_token(hub), "Content-Type": "application/x-ndjson"},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text


def test_too_many_entries_are_refused(hub: OwnHub) -> None:
    files = {"files": [{"path": str(n), "size": 1} for n in range(100_000)]}
    objects = {"objects": [{"oid": "0" * 64, "size": 1}] * 100_000}
    paths = {"paths": [str(n) for n in range(100_000)]}
    for path, body in (
        (f"/api/models/{MODEL}/preupload/main", files),
        (f"/{MODEL}.git/info/lfs/objects/batch", objects),
        (f"/api/models/{MODEL}/paths-info/main", paths),
    ):
        answer = requests.post(f"{hub.url}{path}", json=body, headers=_token(hub), timeout=60)
        assert answer.status_code == 413, path
    form = requests.post(f"{hub.url}/api/models/{MODEL}/paths-info/main", data=paths, timeout=60)
    assert form.status_code == 413


def test_too_many_operations_are_refused(hub: OwnHub) -> None:
    line = json.dumps({"key": "deletedFolder", "value": {"path": "x"}})
    answer = requests.post(
        f"{hub.url}/api/models/{MODEL}/commit/main",
        data="\n".join([line] * 100_000),
        headers=_token(hub),
        timeout=60,
    )
    assert answer.status_code == 413


def test_endless_headers_are_refused(hub: OwnHub) -> None:
    before = _memory(hub)
    with _connected(hub, "GET /health HTTP/1.1\nHost: x\nX: ") as peer:
        with suppress(ConnectionError):
            for _ in range(60):
                peer.sendall(b"a" * MIB)
        assert _status(peer) in (431, 0)  # 0 if it was closed while more was sent
    assert _memory(hub) - before < 20


def test_many_headers_are_refused(hub: OwnHub) -> None:
    many = "".join(f"X-{n}: a\n" for n in range(5000))
    with _connected(hub, f"GET /health HTTP/1.1\nHost: x\n{many}\n") as peer:
        assert _status(peer) == 431


def test_endless_fields_after_a_body_are_refused(hub: OwnHub) -> None:
    head = "POST /api/v1/login HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n2\n{}\n0\nX: "
    before = _memory(hub)
    with _connected(hub, head) as peer, suppress(ConnectionError):
        for _ in range(40):
            peer.sendall(b"a" * MIB)
    assert _memory(hub) - before < 20


def test_a_flood_of_requests_on_one_connection_is_cut(hub: OwnHub) -> None:
    before = _memory(hub)
    one = b"GET /api/models HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as peers:
        for _ in range(20):
            peer = peers.enter_context(_connected(hub))
            with suppress(ConnectionError):
                peer.sendall(one * 20_000)
        assert _memory(hub) - before < 50
    assert requests.get(f"{hub.url}/health", timeout=10).text == "ok\n"


def test_half_requests_and_silent_connections_are_closed(hub: OwnHub) -> None:
    heads = ("", "GET /health HT", "GET /health HTTP/1.1\nHost: x\nX: ", "\n")
    with ExitStack() as peers:
        opened = [peers.enter_context(_connected(hub, head)) for head in heads]
        drip = peers.enter_context(_connected(hub, "GET /health HTTP/1.1\nHost: x\n"))
        for _ in range(17):  # a little from time to time is no request either
            with suppress(ConnectionError):
                drip.sendall(b"X: a\r\n")
            time.sleep(1)
        for peer in (*opened, drip):
            assert _closed(peer, 3)


def test_an_address_has_so_many_connections_and_others_go_on(hub: OwnHub) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    host, _, port = hub.url.removeprefix("http://").rpartition(":")
    before = _memory(hub)
    with ExitStack() as peers:
        for _ in range(1030):
            source = ("127.0.0.2", 0)
            peer = socket.create_connection((host, int(port)), timeout=30, source_address=source)
            peers.enter_context(peer)
        assert _status(peer) == 429
        assert requests.get(f"{hub.url}/health", timeout=10).text == "ok\n"
        assert _memory(hub) - before < 40


# ---- what one request costs, and what it leaves


def _large_tree(hub: OwnHub, count: int) -> str:
    """A repository of many files, as a commit on the disk makes it."""
    name = f"acme/of-{count}"
    _create(hub, name)
    _commit(hub, {"first.txt": b"1"}, name)
    home = hub.folder / "hub" / "repositories" / name
    state = json.loads((home / "repository.json").read_bytes())
    commit = json.loads((home / "commits" / f"{state['branches']['main']}.json").read_bytes())
    row = commit["files"]["first.txt"]
    commit["files"] = {f"folder-{n % 100}/file-{n:06d}.txt": row for n in range(count)}
    made = Commit.from_bytes(json.dumps(commit).encode(), "")
    (home / "commits" / f"{made.oid}.json").write_text(json.dumps(made.to_json()))
    state["branches"]["main"] = state["exported"] = made.oid
    (home / "repository.json").write_text(json.dumps(state))
    return name


def _processor(hub: OwnHub) -> float:
    times = psutil.Process(hub.process.pid).cpu_times()
    return float(times.user + times.system)


def test_a_request_costs_the_same_however_many_files_there_are(hub: OwnHub) -> None:
    spent = []
    for count in (12, 12_000):
        name = _large_tree(hub, count)
        wanted = {"paths": [f"absent-{n}" for n in range(2000)]}
        with requests.Session() as session:
            url = f"{hub.url}/{name}/resolve/main/folder-5/file-000005.txt"
            info = f"{hub.url}/api/models/{name}/paths-info/main"
            assert session.head(url, timeout=30).status_code == 200
            began = _processor(hub)
            for _ in range(50):
                assert session.head(url, timeout=30).status_code == 200
            for _ in range(2):
                assert session.post(info, data=wanted, timeout=60).status_code == 200
            spent.append(_processor(hub) - began)
    few, many = spent
    assert many < 3 * few + 0.5, spent  # before: 100 times as much


def test_commits_leave_nothing_in_memory(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as hub:
        _create(hub)
        for _ in range(15):
            _commit(hub, {"file.txt": os.urandom(4 * MIB)})
        before = _memory(hub)
        for _ in range(45):
            _commit(hub, {"file.txt": os.urandom(4 * MIB)})
        assert _memory(hub) - before < 50


def test_a_commit_of_many_files_is_not_held_in_memory(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as hub:
        _create(hub)
        before = _memory(hub)
        content = os.urandom(MIB)
        _commit(hub, {f"f-{n}.txt": content + bytes([n]) for n in range(150)})
        assert psutil.Process(hub.process.pid).memory_info().rss / MIB - before < 80
        url = f"{hub.url}/{MODEL}/resolve/main/f-77.txt"
        assert requests.get(url, timeout=30).content == content + bytes([77])


def test_uploads_that_break_off_leave_nothing_in_memory(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as hub:
        _create(hub)

        def cut(number: int) -> None:
            size = 9 * MIB
            row = {"oid": hashlib.sha256(b"%d" % number).hexdigest(), "size": size}
            answer = requests.post(
                f"{hub.url}/{MODEL}.git/info/lfs/objects/batch",
                json={"operation": "upload", "objects": [row]},
                headers=_token(hub),
                timeout=30,
            )
            href = answer.json()["objects"][0]["actions"]["upload"]["href"]
            target = href.removeprefix(hub.url)
            head = f"PUT {target} HTTP/1.1\nHost: x\nContent-Length: {size}\n\n"
            with _connected(hub, head, bytes(5 * MIB)):
                pass

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(cut, range(20)))
            time.sleep(1)
            before = _memory(hub)
            list(pool.map(cut, range(20, 220)))
        time.sleep(2)
        assert _memory(hub) - before < 50


# ---- borrowed browsers, and words of others


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "application/json", "Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        # The site's own name was made to point to the hub: its page and the hub are one origin.
        (
            {
                "Content-Type": "application/json",
                "Origin": "http://evil.example",
                "Host": "evil.example",
            },
            403,
        ),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    open_hub: OwnHub, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({"organization": "acme", "name": "stolen"})
    url = f"{open_hub.url}/api/repos/create"
    assert requests.post(url, data=body, headers=headers, timeout=30).status_code == status
    url = f"{open_hub.url}/api/models/acme/stolen"
    assert requests.get(url, timeout=30).status_code == 404


@pytest.mark.parametrize(
    "mark",
    [
        {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"},
        {"Accept-Language": "en"},
        {"Sec-Fetch-Mode": "cors"},
    ],
)
def test_a_rebound_name_reads_nothing(open_hub: OwnHub, mark: dict[str, str]) -> None:
    url = f"{open_hub.url}/api/models"
    headers = {**mark, "Host": "evil.example:8088"}
    assert requests.get(url, headers=headers, timeout=30).status_code == 403
    own = {**mark, "Host": f"localhost:{open_hub.url.rpartition(':')[2]}"}
    assert requests.get(url, headers=own, timeout=30).status_code == 200
    # A client that is no browser is led here by whatever name a cluster gives the hub.
    service = {"Host": "hub.models.svc.cluster.local:8088"}
    assert requests.get(url, headers=service, timeout=30).status_code == 200


def _href(hub: OwnHub, **headers: str) -> str:
    """The address for an upload, as it is given out."""
    row = {"oid": hashlib.sha256(b"x").hexdigest(), "size": 1}
    answer = requests.post(
        f"{hub.url}/{MODEL}.git/info/lfs/objects/batch",
        json={"operation": "upload", "objects": [row]},
        headers={**_token(hub), **headers},
        timeout=30,
    )
    return str(answer.json()["objects"][0]["actions"]["upload"]["href"])


FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}


def test_strangers_do_not_say_what_the_hub_is_called(hub: OwnHub) -> None:
    assert _href(hub, **FORWARDED).startswith(f"{hub.url}/upload/")


def test_a_proxy_that_is_trusted_says_how_clients_see_the_hub(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry", "--trusted-proxy", "127.0.0.0/8") as hub:
        _create(hub)
        assert _href(hub, **FORWARDED).startswith("https://evil.example/upload/")
        assert _href(hub).startswith(f"{hub.url}/upload/")


def test_a_public_url_is_in_all_addresses(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry", "--public-url", "https://hub.example/models/") as hub:
        _create(hub)
        href = _href(hub, **FORWARDED)
        assert href.startswith("https://hub.example/models/upload/")
        # What is signed is the part that reaches the hub.
        target = href.removeprefix("https://hub.example/models")
        assert requests.put(f"{hub.url}{target}", data=b"x", timeout=30).status_code == 200
        name = _large_tree(hub, 1500)
        url = f"{hub.url}/api/models/{name}/tree/main?recursive=true&x=%26"
        link = requests.get(url, timeout=30).headers["Link"]
        assert link.startswith(f"<https://hub.example/models/api/models/{name}/tree/main?")
        assert "recursive=true" in link and "cursor=1000" in link
        page = {"Origin": "https://hub.example", "Host": "hub.example", **_token(hub)}
        body = {"organization": "acme", "name": "by-page"}
        answer = requests.post(f"{hub.url}/api/repos/create", json=body, headers=page, timeout=30)
        assert answer.status_code == 200, answer.text
