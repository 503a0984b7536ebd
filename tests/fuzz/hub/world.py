"""What requests are about: one repository that has everything, tokens, addresses for uploads.

Requests are drawn before the hub that they go to is known. What only that hub knows, such as its
tokens, stands in them between tildes, which no encoding changes, and is filled in when they are
sent. So a request that was kept can be sent again to another hub.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.fuzz.hub.wire import Message
from tests.watched_hub import WatchedHub

NAME = "acme/m"
PART = 2**20  # bytes; what is larger is uploaded in parts
SMALL = b"0123456789" * 4
LARGE = bytes(PART) + b"x" * 100


@cache
def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Upload:
    """One address for an upload.

    Attributes:
        sha256, size: of the content that it is for.
        sent: bytes that a request to it has.
        path: of it.
    """

    sha256: str
    size: int
    sent: bytes
    path: str


NEVER = sha256(b"never")  # of a content that nobody has, so that what comes for it is refused
OPTIONS = ("--part-size", str(PART))
UPLOADS = {
    name + more: Upload(sha256(content) if not more else NEVER, len(content), sent, path)
    for more in ("", "Never")
    for name, content, sent, path in (
        ("upload", SMALL, SMALL, "/upload/{}"),
        ("uploadPart", LARGE, LARGE[PART:], "/upload/{}/2"),
        ("completeUpload", LARGE, b"", "/upload/{}/complete"),
    )
}


def filled(value: Any, operation: str, parameter: str = "") -> Any:
    """An example of the description, with what it names by an `@` in it."""
    if isinstance(value, Mapping):
        return {key: filled(item, operation) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, operation) for item in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    upload = UPLOADS.get(operation, UPLOADS["upload"])
    part = operation.startswith("uploadPart")
    known = {
        "@sha256": upload.sha256,
        "@size": len(upload.sent) if part else upload.size,
        "@content": upload.sent,
        "@signed": f"~{operation}.{parameter}~",
        "@new": "~new~",
        "@reader": "~reader~",
    }
    return known[value]


class World:
    """The repository, the tokens and the addresses of one hub.

    Args:
        watched: the hub; it has parts of `PART` bytes.
    """

    def __init__(self, watched: WatchedHub) -> None:
        self._address, self._hub = watched.address, watched.hub
        self._known = {"writer": self._hub.writer, "reader": self._hub.reader}
        self._made = 0

    def prepare(self) -> None:
        """Put everything back as it was, whatever was done to it."""
        _, found = self.call("GET", "/api/models")
        for row in found:
            org, _, name = row["id"].partition("/")
            self.call("DELETE", "/api/repos/delete", {"organization": org, "name": name})
        for org, name in (("acme", "m"), ("acme", "private")):
            self.must("POST", "/api/repos/create", {"organization": org, "name": name})
        model = f"/api/models/{NAME}"
        self.must("PUT", f"{model}/settings", {"private": False})
        rows = [{"path": path, "content": "e30=", "encoding": "base64"} for path in (
            "config.json", "folder/a.txt", "folder/deeper/b.txt", "README.md", "a"
        )]  # fmt: skip
        lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "first"}}]
        lines += [{"key": "file", "value": row} for row in rows]
        body = "\n".join(map(json.dumps, lines)).encode()
        self.must("POST", f"{model}/commit/main", body, "application/x-ndjson")
        self.must("POST", f"{model}/tag/main", {"tag": "v1"})
        self.must("POST", f"{model}/branch/side", {"startingPoint": "main"})
        self._offer()

    def fill(self, message: Message) -> Message:
        """A message as this hub understands it."""
        if b"~" not in message.head and b"~" not in message.body:
            return message
        head, body = self._fill(message.head), self._fill(message.body)
        if more := len(body) - len(message.body):
            old = b"Content-Length: %d\r\n" % len(message.body)
            head = head.replace(old, b"Content-Length: %d\r\n" % len(body))
            if size := re.match(rb"([0-9a-f]{1,8})(?=\r\n)", body):
                body = b"%x" % (int(size[1], 16) + more) + body[size.end() :]
        return replace(message, head=head, body=body)

    def signed(self, operation: str) -> dict[str, str]:
        """The query of the address that was offered for an upload."""
        own = f"{operation}."
        return {k.removeprefix(own): v for k, v in self._known.items() if k.startswith(own)}

    def call(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """Ask the hub with the right to write; the status, and what it says."""
        with closing(http.client.HTTPConnection(*self._address, timeout=60)) as connection:
            headers = {"Authorization": f"Bearer {self._hub.writer}", "Content-Type": kind}
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, None if body is None else content, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text

    def must(self, method: str, path: str, body: Any, kind: str = "application/json") -> Any:
        """Ask what has to be granted."""
        status, said = self.call(method, path, body, kind)
        assert status == 200, f"{method} {path}: {status} {said}"
        return said

    def _offer(self) -> None:
        """Get addresses for uploads, each with its signature."""
        for name, upload in UPLOADS.items():
            offered = self._offered(upload)
            href = offered.get(upload.path.format(upload.sha256))
            if href is None:  # it is there already, and the earlier address is good
                continue
            for key, value in parse_qsl(urlsplit(href).query):
                self._known[f"{name}.{key}"] = value
            if name == "uploadPart":
                first = offered[f"/upload/{upload.sha256}/1"]
                self.must("PUT", first, LARGE[:PART], "application/octet-stream")

    def _offered(self, upload: Upload) -> dict[str, str]:
        """The addresses for a content, by their paths."""
        row = {"oid": upload.sha256, "size": upload.size}
        said = self.must("POST", f"/{NAME}.git/info/lfs/objects/batch", {"objects": [row]})
        actions = said["objects"][0].get("actions", {}).get("upload", {})
        hrefs = [actions.get("href"), *actions.get("header", {}).values()]
        parts = [urlsplit(href) for href in hrefs if href and href.startswith("http")]
        return {part.path: f"{part.path}?{part.query}" for part in parts}

    def _fill(self, text: bytes) -> bytes:
        def known(match: re.Match[bytes]) -> bytes:
            if match[1] == b"new":
                self._made += 1
                return b"new-%d" % (self._made % 40)  # few, so that the hub does not grow
            return self._known.get(match[1].decode(), "").encode() or match[0]

        return re.sub(rb"~([A-Za-z]+(?:\.[a-z]+)?)~", known, text)
