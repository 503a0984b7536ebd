"""Asking a service once, shortly; silence, 401 and 403 are told apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from registry.doctor.check import LIMIT, OK, WARNING, Check
from registry.urls import without_credentials

NAME_OF_401 = "the credentials are missing or not known there (HTTP 401)"
UNTRUSTED = "its certificate is not trusted here"
NAME_OF_403 = "the credentials are known and may not do this (HTTP 403)"


@dataclass(frozen=True)
class Reply:
    """What a service said: an HTTP status, or why there is none; and its body, if it is JSON."""

    status: int
    problem: str = ""
    body: Any = None


class Clocks:
    """How far this machine's clock is from those of services; filled by several threads.

    Args:
        now: this machine's clock, in seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._lock, self._now = threading.Lock(), now
        self._offsets: dict[str, float] = {}

    def note(self, name: str, date: str) -> None:
        """Note the `Date` of an answer; one that is none is passed over."""
        try:
            told = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError, IndexError, OverflowError):
            return
        with self._lock:
            self._offsets[name] = self._now() - told

    @property
    def offsets(self) -> dict[str, float]:
        """Seconds that this machine is ahead, by service."""
        with self._lock:
            return dict(self._offsets)


def ask(
    name: str,
    url: str,
    clocks: Clocks,
    headers: Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> Reply:
    """One GET with a short time limit; redirects are not followed, as headers hold tokens.

    Args:
        name: of the service, for the clock.
        url: to ask.
        clocks: take the answer's date.
        headers: of the request, with the credentials; nothing of a .netrc is added.
        arguments: of requests, about certificates.
    """
    import requests

    if (arguments or {}).get("verify") is False:  # the user has said so
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    try:
        with requests.get(
            url, headers=dict(headers or {}), auth=_as_it_is, timeout=(LIMIT, LIMIT),
            allow_redirects=False, stream=True, **(arguments or {}),
        ) as answer:  # fmt: skip
            clocks.note(name, answer.headers.get("Date", ""))
            body = None
            if "json" in answer.headers.get("Content-Type", ""):
                body = _json(answer)
            return Reply(answer.status_code, "", body)
    except requests.exceptions.SSLError:
        return Reply(0, UNTRUSTED)
    except requests.exceptions.Timeout:
        return Reply(0, f"no answer within {LIMIT:g} seconds")
    except requests.exceptions.ConnectionError as error:
        text = str(error).lower()
        unknown = "resolve" in text or "name or service" in text
        return Reply(0, "its host is not known here" if unknown else "no connection")
    except (requests.exceptions.RequestException, ValueError) as error:
        return Reply(0, f"it cannot be asked ({type(error).__name__})")
    except OSError as error:  # requests says so of a certificate's file that is not there
        return Reply(0, f"it cannot be asked: {without_credentials(str(error))[:300]}")


def _as_it_is(request: Any) -> Any:
    return request


def _json(answer: Any) -> Any:
    import json

    try:
        return json.loads(answer.raw.read(65536, decode_content=True))
    except (ValueError, OSError):
        return None


def judge(name: str, what: str, reply: Reply, *, address: str, signing_in: str) -> Check:
    """What a reply means.

    Args:
        name: of the check.
        what: the service, for people.
        reply: of it.
        address: how its address is set, for the remedy.
        signing_in: how one signs in there.
    """
    if reply.problem:
        return Check(
            name, WARNING, f"{what} does not answer: {reply.problem}",
            f"Check the network, the proxy and {address}; with QREG_OFFLINE=1 nobody is asked.",
        )  # fmt: skip
    if reply.status == 401:
        return Check(name, WARNING, f"{what} answers, but {NAME_OF_401}", f"{signing_in}.")
    if reply.status == 403:
        return Check(
            name, WARNING, f"{what} answers, but {NAME_OF_403}",
            f"Ask whoever looks after it for the right, or use others: {signing_in}.",
        )  # fmt: skip
    if reply.status >= 500 or reply.status == 429:
        return Check(
            name, WARNING, f"{what} answers with HTTP {reply.status}: it is overloaded or down",
            "Try again later.",
        )  # fmt: skip
    if reply.status >= 300:
        return Check(
            name, WARNING, f"{what} answers with HTTP {reply.status}, as another service would",
            f"Check {address}.",
        )  # fmt: skip
    return Check(name, OK, f"{what} answers")
