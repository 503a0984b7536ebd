"""Hubs that list what no folder can hold, or what would land outside of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.checkpoints import write_quantized
from tests.faults import checks
from tests.faults.checks import Outcome
from tests.faults.children import Sandbox
from tests.faults.model import tree

NAME = "evil/model"
COMMIT = "c0ffee" * 6 + "c0ff"
CONTENT = b"written by a hostile hub"
_REFUSED, _EITHER = (5,), (0, 5)


@dataclass(frozen=True)
class Listing:
    """Names that a hub lists besides a sound model.

    Attributes:
        what: for people.
        names: the names.
        codes: with which a pull may end.
    """

    what: str
    names: tuple[str, ...]
    codes: tuple[int, ...] = _REFUSED


LISTINGS = (
    Listing("../x", ("../x",)),
    Listing("a/../../x", ("a/../../x",)),
    Listing("an absolute name", ("/tmp/qreg-hostile",)),
    Listing("an empty name", ("",)),
    Listing("a name that ends in a slash", ("x/",)),
    Listing("a dot", ("./x",)),
    Listing("a backslash", ("..\\x",)),
    Listing("NUL", ("x\0y",)),
    Listing("a line feed", ("x\ny",)),
    Listing("half a character", ("x\ud800y",)),
    Listing("a right-to-left override", ("x\u202ey",)),
    Listing("4,096 characters", ("x" * 4096,)),
    Listing("4,096 characters in folders", ("/".join(["x" * 63] * 64),)),
    Listing("1,000 folders deep", ("/".join("x" * 1000),)),
    Listing("a file and a folder", ("x", "x/y")),
    Listing("twice", ("x", "x")),
    Listing("weights twice", ("model.safetensors",)),
    Listing("names that differ in case", ("x", "X"), _EITHER),
    Listing("names that differ in normal form", ("\u00e9", "e\u0301"), _EITHER),
    Listing("a manifest in a folder's place", ("qreg.json/x",), _EITHER),
    Listing("qreg's own names", (".qreg-store.json", "blobs/x"), _EITHER),
    Listing("10,000 files", tuple(f"files/{number}" for number in range(10_000)), _EITHER),
)


class Hostile:
    """A running hub.

    Attributes:
        url: its address.
        names: that it lists.
    """

    def __init__(self, model: Path) -> None:
        self.url, self.names = "", list[str]()
        self.model = {path.name: path.read_bytes() for path in model.iterdir()}

    @property
    def environment(self) -> dict[str, str]:
        return {"HF_ENDPOINT": self.url, "MODELSCOPE_ENDPOINT": self.url, "HF_TOKEN": "hf_x"}

    def files(self) -> Iterator[tuple[str, int, str]]:
        """Name, size and sha256 of each listed file."""
        for name in (*self.model, *self.names):
            content = self.model.get(name, CONTENT)
            yield name, len(content), hashlib.sha256(content).hexdigest()

    def answer(self, path: str, query: dict[str, list[str]]) -> bytes:
        """The body for a path."""
        if path == f"/api/models/{NAME}":
            rows: list[dict[str, Any]] = [
                {"rfilename": name, "size": size, "lfs": {"sha256": sha256, "size": size}}
                for name, size, sha256 in self.files()
            ]
            return json.dumps({"id": NAME, "sha": COMMIT, "siblings": rows}).encode()
        if path.endswith("/repo/files"):
            rows = [
                {"Path": name, "Name": name, "Type": "blob", "Size": size, "Sha256": sha256}
                for name, size, sha256 in self.files()
            ]
            return json.dumps({"Code": 200, "Success": True, "Data": {"Files": rows}}).encode()
        name = query["FilePath"][0] if "FilePath" in query else path.partition(f"{COMMIT}/")[2]
        return self.model.get(unquote(name), CONTENT)


@contextmanager
def hostile(model: Path) -> Iterator[Hostile]:
    """Serve a sound model and what is listed beside it until the block ends."""
    state = Hostile(model)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            content = state.answer(parts.path, parse_qs(parts.query, keep_blank_values=True))
            size, asked = len(content), self.headers.get("Range", "")
            self.send_response(206 if asked else 200)
            if asked:
                begin, end = (int(text) for text in asked.removeprefix("bytes=").split("-"))
                content = content[begin : end + 1]
                self.send_header("Content-Range", f"bytes {begin}-{min(end, size - 1)}/{size}")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hostile_listings(
    scheme: str, folder: Path, listings: Sequence[Listing] = LISTINGS
) -> Iterator[Outcome]:
    """Pull each listing into the cache and to a folder; look for what was written elsewhere."""
    model = write_quantized(folder / "model")
    with hostile(model) as hub:
        sandbox = Sandbox(folder / "sandbox", hub.environment)
        for listing in listings:
            hub.names = list(listing.names)
            problems = [
                problem
                for output in (None, folder / "outputs" / "output")
                for problem in pull_listing(
                    sandbox, f"{scheme}://{NAME}", output, folder, listing, model
                )
            ]
            yield Outcome("hostile listing", scheme, listing.what, tuple(problems))


def pull_listing(
    sandbox: Sandbox,
    reference: str,
    output: Path | None,
    folder: Path,
    listing: Listing,
    model: Path,
) -> Iterator[str]:
    """Problems of a pull of a listing: it is refused, or all of it is there; nothing elsewhere."""
    home, cache = folder / "outputs", sandbox.cache
    for path in (home, cache):
        shutil.rmtree(path, ignore_errors=True)
    home.mkdir()
    before = _outside(folder, home, cache)
    arguments = ["pull", reference, "--json", *(("--output", output) if output else ())]
    ended = sandbox.run(*arguments)
    if ended.code == 0 and 0 in listing.codes:
        yield from _sound(Path(ended.json["folder"]), model, listing)
    else:
        yield from checks.failed(ended, *listing.codes)
        if any(home.iterdir()):
            yield f"left in {home}: {sorted(path.name for path in home.iterdir())}"
        written = [path for path in tree(cache) if "/artifacts/" in path or "/blobs/" in path]
        if written:
            yield f"written to the cache: {written[:5]}"
    if _outside(folder, home, cache) != before:
        yield "something was written outside of the output and the cache"
    if Path("/tmp/qreg-hostile").exists():
        yield "an absolute name was written to"


def _sound(folder: Path, model: Path, listing: Listing) -> Iterator[str]:
    found = tree(folder)
    expected = {**tree(model), **dict.fromkeys(listing.names, hashlib.sha256(CONTENT).hexdigest())}
    missing = [path for path, sha256 in expected.items() if found.get(path) != sha256]
    extra = set(found) - set(expected) - {"qreg.json"}
    if missing or extra:
        yield f"pulled other files: lacks {missing[:5]}, has {sorted(extra)[:5]}"


def _outside(folder: Path, *allowed: Path) -> dict[str, str]:
    """All files but those that may be written: the output, the cache, logs and temporary ones."""
    names = [path.relative_to(folder).as_posix() for path in allowed]
    names += ["sandbox/logs", "sandbox/tmp", "sandbox/home", "sandbox/data"]
    return {
        path: sha256
        for path, sha256 in tree(folder).items()
        if not any(path.startswith(f"{name}/") for name in names)
    }
