"""The model registry of a tracking server, over its REST API.

Addresses, credentials and answers are as in MLflow 3.17: `utils/rest_utils.py`,
`utils/credentials.py`, `store/model_registry/rest_store.py`.
"""

from __future__ import annotations

import base64
import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from registry.errors import NotAllowedError, TransferError
from registry.tracking.entries.wanted import Wanted
from registry.transport.answers import parse_json
from registry.transport.http import Transport
from registry.transport.retry import Patience

_API = "/api/2.0/mlflow"
_PLUGINS = "mlflow.request_header_provider"
# MLflow says so of models and versions, and of aliases.
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
_TRUE = frozenset({"true", "1"})
# A lookup is small: MLflow's own four minutes for a dead server are not for it.
_ATTEMPTS, _STALL = 2, 10.0
_REMEDY = "Check MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI and the server."


@dataclass(frozen=True)
class Server:
    """Where a server is, and what it is sent.

    Attributes:
        url: without credentials and without a slash at its end.
        headers: with the credentials.
        arguments: of requests, about certificates.
    """

    url: str
    headers: Mapping[str, str]
    arguments: Mapping[str, Any]


def is_spoken_by(uri: str) -> bool:
    """Whether MLflow would speak plain REST to a URI, and qreg can sign in to it.

    AWS' signatures, plug-ins that sign in and plug-ins that add headers are MLflow's own.
    """
    own = os.environ.get("MLFLOW_TRACKING_AUTH") or _is_set("MLFLOW_TRACKING_AWS_SIGV4")
    plain = uri.startswith(("http://", "https://")) and not own
    return plain and not entry_points(group=_PLUGINS)


def read(wanted: Wanted, uri: str) -> Mapping[str, str] | None:
    """The tags of a version; None where the server says that it has none.

    Raises:
        TransferError: it does not answer, or is no MLflow.
        NotAllowedError: it refuses.
    """
    server = server_of(uri)
    usual = Patience.from_environment()
    patience = replace(
        usual, attempts=min(usual.attempts, _ATTEMPTS), stall=min(usual.stall, _STALL)
    )
    transport = Transport(
        server.headers, patience, endpoint="MLFLOW_TRACKING_URI", origin=server.url
    )
    if wanted.version:
        path, query = "model-versions/get", {"name": wanted.model, "version": wanted.version}
    else:
        path, query = "registered-models/alias", {"name": wanted.model, "alias": wanted.alias}
    what = f"model {wanted.model} of the MLflow at {server.url}"
    try:
        answer = transport.request(
            "GET",
            what,
            f"{server.url}{_API}/{path}",
            params=query,
            readable=frozenset({400, 404}),
            **server.arguments,
        )
    except NotAllowedError as error:
        raise NotAllowedError(
            error.message,
            remedy="Check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, and what that user may read.",
        ) from error
    try:
        document = parse_json(answer.content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _no_mlflow(what, answer.status_code)
    if answer.status_code != 200:
        if document.get("error_code") in _ABSENT:
            return None
        raise _no_mlflow(what, answer.status_code)
    version = document.get("model_version")
    if not isinstance(version, dict):
        raise _no_mlflow(what, answer.status_code)
    tags = version.get("tags") or []
    return {
        str(tag["key"]): str(tag.get("value", ""))
        for tag in tags
        if isinstance(tag, dict) and "key" in tag
    }


def server_of(uri: str) -> Server:
    """A server with the credentials that MLflow would send: those in the URI come first."""
    place = urlsplit(uri)
    netloc = place.netloc.rpartition("@")[2]
    url = f"{place.scheme}://{netloc}{place.path}".rstrip("/")
    headers = {"User-Agent": "qreg"}
    workspace = os.environ.get("MLFLOW_WORKSPACE", "").strip()
    if workspace:
        headers["X-MLFLOW-WORKSPACE"] = workspace
    user, password = _user()
    if place.username or place.password:
        headers["Authorization"] = _basic(
            unquote(place.username or ""), unquote(place.password or "")
        )
    elif user and password:
        headers["Authorization"] = _basic(user, password)
    elif os.environ.get("MLFLOW_TRACKING_TOKEN"):
        headers["Authorization"] = f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"
    return Server(url, headers, _certificates())


def _certificates() -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    bundle = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    if bundle:
        arguments["verify"] = bundle
    elif _is_set("MLFLOW_TRACKING_INSECURE_TLS"):
        arguments["verify"] = False
    client = os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    return arguments | ({"cert": client} if client else {})


def _user() -> tuple[str, str]:
    """User and password of the environment, else of `~/.mlflow/credentials`."""
    stored = configparser.ConfigParser()
    try:
        stored.read(Path("~/.mlflow/credentials").expanduser())
    except (configparser.Error, UnicodeDecodeError, RuntimeError):
        stored.clear()
    section = stored["mlflow"] if stored.has_section("mlflow") else {}
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    try:
        user, password = (os.environ.get(n) or section.get(n.lower()) or "" for n in names)
    except configparser.Error:  # a '%' that ConfigParser takes for a reference
        return "", ""
    return user, password


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in _TRUE


def _no_mlflow(what: str, status: int) -> TransferError:
    return TransferError(
        f"The answer about {what} is none of MLflow's (HTTP status {status})", remedy=_REMEDY
    )
