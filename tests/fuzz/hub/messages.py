"""One request of an operation, with a few things in it that no client would send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from tests.fuzz.hub.description import Body, Operation, Parameter, operations
from tests.fuzz.hub.values import altered, numbers, one_of, texts, values, written
from tests.fuzz.hub.wire import Message
from tests.fuzz.hub.world import NEVER, UPLOADS, filled

_TOKENS = (
    "Bearer ~writer~",
    "Bearer ~writer~",
    "Bearer ~writer~",
    "Bearer ~reader~",
    "",
    "Bearer hf_wrong",
)
_ODD_TOKENS = (
    "Bearer", "Bearer ", "bearer  ~writer~ ", "Basic ~writer~", "Bearer ~writer~,Bearer x", "é",
    "Bearer \xff\xfe", "Bearer " + "a" * 60_000, "Bearer \t", "Bearer ~reader~\x00",
)  # fmt: skip
_SPOTS = (
    "body", "body", "body", "body", "parameter", "parameter", "parameter", "text", "header",
    "framing", "token", "method", "target", "kind",
)  # fmt: skip
_HEADERS = (
    "Range: bytes=0-0", "Range: bytes=-0", "Range: bytes=5-2", "Range: bytes=²-",
    "Range: bytes=0-²",
    "Range: bytes=" + "9" * 5000 + "-", "Range: bytes=0-" + "9" * 5000,
    "Range: bytes=-" + "9" * 5000,
    "Range: bytes=0-1,3-4", "Range: lines=1-2", "Range: bytes=1١-", "Range: bytes= 0 - 1",
    "Range: ",
    'If-Range: "x"', "If-None-Match: *", 'If-None-Match: "\xff', "If-None-Match: " + '"a",' * 9000,
    "Cookie: m_session_id=~writer~", "Cookie: m_session_id=\xff\x01", "Cookie: =;;=; m_session_id",
    "Cookie: m_session_id=" + '"\\' * 2000, "X-Forwarded-For: é", "X-Forwarded-Proto: javascript",
    "X-Forwarded-Host: a b", "Host: ", "Host: [::1", "Host: a:b:c", "Host: é", "Host: x:99999999",
    "Host: @/?#", "Origin: null", "Accept: \xff", "Accept-Encoding: gzip;q=²",
    "Expect: 100-continue",
    "Expect: 200-ok", "Upgrade: websocket", "Upgrade: h2c", "Connection: close", "Connection: \xff",
    "Connection: Upgrade", "Content-Encoding: gzip", "Content-Encoding: ²", "X: " + "a" * 40_000,
    "Content-Type: ", "Date: x", "Transfer-Encoding: identity", "Content-Range: bytes */*",
)  # fmt: skip
_KINDS = (
    "", "text/plain", "application/json; charset=utf-16", "application/json;charset=²", "\xff",
    "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/json,",
    "APPLICATION/JSON", "application/x-ndjson", "a" * 9000,
)  # fmt: skip
_SEGMENTS = (
    "", "%", "%zz", "%0", "%00", "%ff%fe", "%ED%A0%80", "%C2%B2", "%2e%2e", "..", ".", "%2F",
    "a%2Fb",
    "%0d%0aX:y", "%5c", "%20", "+", "~", ";a=b", "%E2%80%AE", "x" * 9000, "%C2%B2" * 64,
    "%25%30%30",
    "a%00b", "%F0%9F%98%80", "%u0041", "{x}", "-1", "0", "9" * 30, "9" * 5000, "1e3", "١", "[", "|",
)  # fmt: skip
_TARGETS = (
    "*", "/", "//", "///a/b", "/?", "/%", "/%00", "/..", "/../../etc/passwd", "http://[/",
    "http://x",
    "http://x/api/models", "/api/models/acme", "/api/models/acme/m/", "/api/v1/models/acme/m//",
    "/" + "a/" * 3000, "/api/models?limit=²", "/api/models?limit=%C2%B2", "/upload/", "/upload/x/²",
    "/upload/x/%C2%B2", "/upload/x/-1", "/upload/x/1.5", "/upload/x/" + "9" * 5000, "/a b", "/é",
    "a",
    "/api/models?limit=" + "9" * 5000, "/api/models?" + "&" * 5000, "/api/models?%", "/#",
    "/api/..",
    "/acme/m/resolve/main/", "/acme/m/resolve//a", "/acme/m/resolve/main/%2e%2e/a", "/\x01", "",
)  # fmt: skip
_METHODS = (
    "HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "GET", "POST", "PUT", "DELETE", "PROPFIND",
    "get",
    "BREW", "G\x00T", "É", "A" * 3000, "",
)  # fmt: skip
_FRAMINGS = (
    "chunked", "chunked", "short", "none", "long", "both", "two lengths", "http10", "no size",
    "huge",
    "negative", "digits", "bad size", "no end", "huge chunk", "trailer", "gzip chunked",
)  # fmt: skip
_GARBAGE = (
    b"\r\n\r\n", b"\n\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"\x00" * 500,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 99,
    b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    b"GET /" + b"a" * 90_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: " + b"b" * 90_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 900,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\nHost: a\n\n", b"\xff" * 200,
    b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"A" * 70_000,
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"QUIT\r\n",
)  # fmt: skip

_OPERATIONS = st.sampled_from(operations())


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any request; its parts that only a hub knows stand between tildes."""
    operation = draw(_OPERATIONS)
    if draw(one_of(*range(31))) == 30:
        return Message("garbage", "GET", draw(one_of(*_GARBAGE)), sound=False, ends=True)
    spots = [draw(one_of(*_SPOTS)) for _ in range(draw(one_of(1, 1, 1, 1, 2, 3)))]
    target, headers = _address(draw, operation, spots.count("parameter"))
    kind, body = _body(draw, operation, spots)
    token = draw(one_of(*_TOKENS))
    if "token" in spots:
        token = draw(st.sampled_from(_ODD_TOKENS))
    if "kind" in spots:
        kind = draw(one_of(*_KINDS))
    headers += [f"Authorization: {token}"] if token else []
    headers += [f"Content-Type: {kind}"] if kind else []
    if "header" in spots:
        headers += [draw(one_of(*_HEADERS)) for _ in range(draw(one_of(1, 2, 3)))]
    method = operation.method
    if "method" in spots:
        method = draw(one_of(*_METHODS))
    if "target" in spots:
        target = draw(one_of(*_TARGETS))
    framing = draw(one_of(*_FRAMINGS)) if "framing" in spots else "length"
    return framed(operation.name, method, target, headers, body, framing)


def plain(operation: Operation, body: Body | None = None, token: str = _TOKENS[0]) -> Message:
    """The request of the description's examples: a hub grants it."""
    values = {
        p.name: str(filled(p.example, operation.name, p.name))
        for p in operation.parameters
        if p.example is not None
    }
    headers = [f"Authorization: {token}"] if token else []
    headers += [f"{p.name}: {values[p.name]}" for p in operation.parameters if p.place == "header"
                and p.name in values]  # fmt: skip
    if body is not None:
        headers.append(f"Content-Type: {body.media_type}")
    content = (
        b"" if body is None else encoded(body.media_type, filled(body.example, operation.name))
    )
    target = _target(operation, {key: quote(value, safe="") for key, value in values.items()}, [])
    return framed(operation.name, operation.method, target, headers, content, "length")


def _address(draw: st.DrawFn, operation: Operation, wrong: int) -> tuple[str, list[str]]:
    """The target and headers that parameters make, some of them wrong."""
    found: dict[str, str] = {}
    count = len(operation.parameters)
    chosen = {draw(one_of(*range(count))) for _ in range(wrong)} if count else set()
    odd = [operation.parameters[number] for number in chosen]
    name = operation.name
    if name in UPLOADS and draw(one_of(False, True)):
        name += "Never"
    headers, more = [], []
    for parameter in operation.parameters:
        value: str | None = None
        if parameter.example is not None:
            value = quote(str(filled(parameter.example, name, parameter.name)), safe="")
        if parameter in odd:
            value, again = _odd(draw, parameter)
            more += [f"{parameter.name}={again}"] if again is not None else []
        if value is None:
            continue
        if parameter.place == "header":
            headers.append(f"{parameter.name}: {value.replace('%', '')}")
        else:
            found[parameter.name] = value
    return _target(operation, found, more), headers


def _odd(draw: st.DrawFn, parameter: Parameter) -> tuple[str | None, str | None]:
    """A wrong value of a parameter, and another one of the same name."""
    way = draw(one_of("raw", "text", "text", "number", "none", "twice", "schema"))
    if way == "none" and parameter.place != "path":
        return None, None
    if way == "raw":
        return draw(one_of(*_SEGMENTS)), None
    if way == "number":
        return quote(str(draw(numbers))), None
    if way == "schema":
        return quote(str(draw(_generated(parameter.schema))), safe=""), None
    value = quote(draw(texts), safe=draw(one_of("", "/")), errors="replace")
    twice = way == "twice" and parameter.place == "query"
    return value, quote(draw(texts), errors="replace") if twice else None


def _target(operation: Operation, found: Mapping[str, str], more: list[str]) -> str:
    path = operation.path
    rows = []
    for parameter in operation.parameters:
        if parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", found[parameter.name])
        elif parameter.place == "query" and parameter.name in found:
            rows.append(f"{parameter.name}={found[parameter.name]}")
    query = "&".join([*rows, *more])
    return f"{path}?{query}" if query else path


def _body(draw: st.DrawFn, operation: Operation, spots: list[str]) -> tuple[str, bytes]:
    """The media type and the bytes of a body."""
    if not operation.bodies:
        if "body" not in spots:
            return "", b""
        return "application/json", written(draw(values)).encode(errors="surrogatepass")
    body = operation.bodies[draw(one_of(*range(len(operation.bodies))))]
    value = filled(body.example, operation.name)
    if isinstance(value, bytes):
        content = draw(st.binary(max_size=100)) if "body" in spots else value
    else:
        if draw(one_of(False, True)):
            value = draw(_generated(body.schema))
        for _ in range(spots.count("body")):
            value = draw(altered(value))
        ascii_only = draw(one_of(False, True)) if "text" in spots else True
        content = encoded(body.media_type, value, ascii_only=ascii_only)
    return body.media_type, _spoiled(draw, content) if "text" in spots else content


def encoded(media_type: str, value: Any, *, ascii_only: bool = True) -> bytes:
    """The bytes of a body; a list of lines has each of its items on one."""
    if isinstance(value, bytes):
        return value
    if media_type == "application/x-www-form-urlencoded" and isinstance(value, dict):
        rows = {str(k): v if isinstance(v, list) else str(v) for k, v in value.items()}
        return urlencode(rows, doseq=True, errors="replace").encode()
    if media_type == "application/x-ndjson" and isinstance(value, list):
        text = "\n".join(written(item, ascii_only=ascii_only) for item in value)
    else:
        text = written(value, ascii_only=ascii_only)
    return text.encode(errors="surrogatepass")


def _spoiled(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with a fault below JSON."""
    place = draw(one_of(*range(200))) % (len(content) + 1)
    way = draw(one_of("cut", "insert", "bom", "utf-16", "more", "binary", "empty", "lines"))
    if way == "cut":
        return content[:place]
    if way == "insert":
        wrong = draw(one_of(b"\x00", b"\xff", b"\xed\xa0\x80", b"\n", b"\r", b"\xc2\x85", b'"'))
        return content[:place] + wrong + content[place:]
    if way == "utf-16":
        return content.decode(errors="replace").encode("utf-16")
    if way == "binary":
        return draw(st.binary(max_size=50))
    if way == "lines":
        return content + b"\n" * draw(one_of(1, 1000, 100_000)) + content
    return {"bom": b"\xef\xbb\xbf" + content, "more": content + content, "empty": b""}[way]


@st.composite
def _generated(draw: st.DrawFn, schema: Mapping[str, Any]) -> Any:
    """A value that a schema allows, as far as its types go."""
    if "enum" in schema:
        return draw(one_of(*schema["enum"]))
    kind = schema.get("type")
    if kind == "object":
        required = schema.get("required", ())
        return {
            key: draw(_generated(item))
            for key, item in schema.get("properties", {}).items()
            if key in required or draw(one_of(False, True))
        }
    if kind == "array":
        return [draw(_generated(schema["items"])) for _ in range(draw(one_of(0, 1, 2, 3)))]
    if kind == "integer":
        return draw(one_of(0, 1, 40, 2**20 + 100, 10**15))
    if kind == "boolean":
        return draw(one_of(False, True))
    if "pattern" in schema and "64" in schema["pattern"]:
        return draw(one_of(NEVER, "0" * 64))
    return draw(one_of("a", "config.json", "folder", "acme", "m", "v1", "main", "YWJj"))


def framed(
    operation: str, method: str, target: str, headers: list[str], body: bytes, framing: str
) -> Message:
    """A message whose body is announced in one of many ways, right or wrong."""
    version, sound, ends = "HTTP/1.1", True, False
    length, chunked = [f"Content-Length: {len(body)}"], ["Transfer-Encoding: chunked"]
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    if framing == "chunked":
        length, body = chunked, chunks
    elif framing == "gzip chunked":
        sound, ends = False, True
        length, body = ["Transfer-Encoding: gzip, chunked"], chunks
    elif framing == "trailer":
        length, body = chunked, chunks[:-2] + b"X-A: b\r\n\r\n"
    elif framing == "http10":
        version = "HTTP/1.0"
    elif framing != "length" and (body or framing not in ("none", "long", "no size")):
        sound, ends = False, True
        length, body = {
            "short": ([f"Content-Length: {len(body) + 7}"], body),
            "none": ([], body),
            "long": ([f"Content-Length: {len(body) // 2}"], body),
            "both": (length + chunked, chunks),
            "two lengths": ([*length, f"Content-Length: {len(body) + 1}"], body),
            "no size": (["Content-Length:"], body),
            "huge": (["Content-Length: " + "9" * 30], body),
            "negative": (["Content-Length: -1"], body),
            "digits": (["Content-Length: ²"], body),
            "bad size": (chunked, b"zz\r\n" + chunks),
            "no end": (chunked, chunks[:-5]),
            "huge chunk": (chunked, b"f" * 17 + b"\r\n" + chunks),
        }[framing]
    elif not body and method in ("GET", "HEAD", "DELETE"):
        length = []
    host = [] if any(line.startswith("Host:") for line in headers) else ["Host: hub"]
    lines = [f"{method} {target} {version}", *host, *headers, *length, "", ""]
    head = "\r\n".join(lines).encode(errors="replace")
    first = lines[0].encode(errors="replace")
    clean = first.isascii() and first.count(b" ") == 2 and min(first) > 31 and b"  " not in first
    sound = sound and clean and method.isupper() and len(head) < 60_000
    sound = sound and method in ("HEAD", "OPTIONS", "PATCH", "GET", "POST", "PUT", "DELETE")
    sound = sound and not any(
        line.startswith(("Transfer-Encoding: id", "Upgrade", "Connection", "Expect", "Host: "))
        or not line.isprintable()
        for line in [*headers, *host[:0]]
    )
    return Message(operation, method, head, body, sound, ends or not sound)
