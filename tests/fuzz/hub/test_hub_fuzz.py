"""The hub's fuzzer itself: its description is true and whole, a short run finds nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from registry.hub.app import create_app
from registry.hub.backends import open_backend
from registry.stores import open_store
from tests.fuzz.hub.description import Body, Operation, document, operations
from tests.fuzz.hub.messages import encoded, framed, plain
from tests.fuzz.hub.run import Failure, Report, Run, keep
from tests.fuzz.hub.wire import Answer, Message, Wire
from tests.fuzz.hub.world import OPTIONS, World, filled
from tests.watched_hub import WatchedHub, faults, watched_hub

RUNS = 300
SEED = 7


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedHub]:
    with watched_hub(tmp_path_factory.mktemp("hub"), *OPTIONS) as hub:
        yield hub


@pytest.fixture(scope="module")
def world(watched: WatchedHub) -> World:
    found = World(watched)
    found.prepare()
    return found


def test_the_description_has_every_route_and_no_other(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/registry")
    backend = open_backend(store, tmp_path / "hubs", None)
    backend.prepare()
    served = Counter(
        (method, re.sub(r"\{[^}]*\}", "{}", route.path))
        for route in create_app(backend).routes
        if isinstance(route, Route)
        for method in (route.methods or ()) - {"HEAD"}
    )
    described = Counter((one.method, re.sub(r"\{[^}]*\}", "{}", one.path)) for one in operations())
    assert described == served


def test_the_description_is_in_itself_right() -> None:
    assert document()["openapi"].startswith("3.1.")
    assert max(Counter(one.name for one in operations()).values()) == 1
    for one in operations():
        in_path = {p.name for p in one.parameters if p.place == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", one.path)), one.name
        for parameter in one.parameters:
            Draft202012Validator.check_schema(parameter.schema)
        for body in one.bodies:
            Draft202012Validator.check_schema(body.schema)
            example = filled(body.example, one.name)
            if not isinstance(example, bytes):
                example = json.loads(json.dumps(example).replace("~new~", "new-1"))
                Draft202012Validator(body.schema).validate(example)


def _examples() -> list[tuple[Operation, Body | None]]:
    ordered = sorted(operations(), key=lambda one: one.last)
    return [(one, body) for one in ordered for body in one.bodies or (None,)]


def test_each_example_of_the_description_is_granted(watched: WatchedHub, world: World) -> None:
    wire = Wire(watched.address)
    for operation, body in _examples():
        answer = wire.ask(world.fill(plain(operation, body)))
        assert answer.status in operation.answers, (operation.name, answer)
        if operation.last:
            world.prepare()
    wire.close()


def test_signed_addresses_have_the_parameters_that_are_described(world: World) -> None:
    for operation in operations():
        signed = {p.name for p in operation.parameters if p.place == "query"}
        if operation.path.startswith("/upload/"):
            assert set(world.signed(operation.name)) == signed, operation.name


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    report = Report()
    with watched_hub(tmp_path, *OPTIONS) as watched:
        Run(watched, report, quick=True).run(RUNS, SEED, lambda _: None)
    shown = [f"{f.kind}: {f.message.head[:300]!r} {f.message.body[:300]!r}"
             for f in report.failures.values()]  # fmt: skip
    assert not shown, "\n".join(shown)
    assert not report.problems
    assert report.sent >= RUNS
    granted = [name for name in report.operations if report.granted[name]]
    assert len(granted) > len(operations()) / 2  # it gets behind the first refusal
    assert sum(report.statuses[status] for status in (400, 401, 403, 404)) > RUNS / 4


def test_a_traceback_is_known_by_its_error_and_our_innermost_line() -> None:
    log = """ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/x/site-packages/uvicorn/h.py", line 42, in run_asgi
    result = await app(
             ^^^^^^^^^^
  File "/x/registry/hub/direct.py", line 211, in app
    await inner(scope, receive, send)
  File "/x/site-packages/starlette/convertors.py", line 57, in convert
    return int(value)
           ^^^^^^^^^^
ValueError: Exceeds the limit (4300 digits) for integer string conversion
"""
    assert faults(log) == ["ValueError at registry/hub/direct.py:211"]
    assert faults(log + log) == faults(log) * 2
    assert not faults("INFO:     started\n")


@pytest.mark.parametrize(
    ("answer", "log", "kind"),
    [
        (Answer(500, b"Internal Server Error"), "", "500 hfTree: b'Internal Server Error'"),
        (Answer(502, b""), "", "502 hfTree: b''"),
        (Answer(501, b"This hub has no such thing"), "", ""),
        (Answer(501, b""), "", "501 hfTree: b''"),
        (Answer(507, b"full"), "", "507 hfTree: b'full'"),
        (Answer(400, b"no"), "", ""),
        (Answer(0, problem="silence"), "", "no answer to hfTree in 20 s"),
        (Answer(0, problem="RemoteDisconnected"), "", "no answer to hfTree: RemoteDisconnected"),
    ],
)
def test_what_is_a_failure(watched: WatchedHub, answer: Answer, log: str, kind: str) -> None:
    message = Message("hfTree", "GET", b"GET / HTTP/1.1\r\n\r\n")
    assert Run(watched, Report()).judge(message, answer, log) == kind


def test_a_request_that_was_kept_is_filled_in_for_another_hub(
    watched: WatchedHub, world: World
) -> None:
    login = next(one for one in operations() if one.name == "msLogin")
    message = world.fill(plain(login, login.bodies[0]))
    head, _, length = message.head.rpartition(b"Content-Length: ")
    assert int(length) == len(message.body)
    assert watched.hub.reader.encode() in message.body
    assert watched.hub.writer.encode() in head


def test_bodies_are_sent_as_they_are_announced_or_not() -> None:
    def made(framing: str) -> Message:
        return framed("x", "POST", "/x", [], encoded("application/json", {"a": 1}), framing)

    assert made("length").body == b'{"a":1}' and made("length").sound
    assert made("chunked").body == b'7\r\n{"a":1}\r\n0\r\n\r\n' and made("chunked").sound
    assert b"Content-Length: 14" in made("short").head and not made("short").sound


def test_of_each_kind_of_failure_the_best_request_is_kept(tmp_path: Path) -> None:
    report = Report()
    run = Run.__new__(Run)
    run.report = report
    for status, head in ((200, b"short"), (500, b"a long one"), (500, b"longer than that")):
        run.note(Failure("a kind", Message("x", "GET", head), Answer(status), "log"))
    files = keep(report, tmp_path)
    assert report.failures["a kind"].count == 3
    assert files["a kind"].read_bytes() == b"a long one"  # of those whose own answer tells it
    assert "a kind" in files["a kind"].with_suffix(".txt").read_text()
