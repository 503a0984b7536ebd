"""The written description of the hub's routes, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROUTES = Path(__file__).with_name("routes.yaml")


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operation.

    Attributes:
        name: of it.
        place: `path`, `query` or `header`.
        schema: of its value.
        example: a value that works; None if it can be left out.
    """

    name: str
    place: str
    schema: Mapping[str, Any]
    example: Any = None


@dataclass(frozen=True)
class Body:
    """One form that an operation's body can have.

    Attributes:
        media_type: of it.
        schema: of its content.
        example: a content that works.
    """

    media_type: str
    schema: Mapping[str, Any]
    example: Any


@dataclass(frozen=True)
class Operation:
    """A method on a path.

    Attributes:
        name: its operationId.
        method: of HTTP.
        path: with parameters in braces.
        parameters: of it.
        bodies: that it takes; none if it takes no body.
        answers: the statuses that it may have, besides refusals.
        last: whether its example removes what others need.
    """

    name: str
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    bodies: tuple[Body, ...]
    answers: frozenset[int]
    last: bool


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, with its references resolved."""
    found: dict[str, Any] = yaml.safe_load(ROUTES.read_text())
    resolved: dict[str, Any] = _resolved(found, found)
    return resolved


@cache
def operations() -> tuple[Operation, ...]:
    """All operations of the hub, in the document's order."""
    return tuple(
        _operation(path, method, row)
        for path, methods in document()["paths"].items()
        for method, row in methods.items()
    )


def _operation(path: str, method: str, row: Mapping[str, Any]) -> Operation:
    return Operation(
        row["operationId"],
        method.upper(),
        path,
        tuple(
            Parameter(p["name"], p["in"], p["schema"], p.get("example"))
            for p in row.get("parameters", ())
        ),
        tuple(
            Body(media_type, content["schema"], content.get("example"))
            for media_type, content in row.get("requestBody", {}).get("content", {}).items()
        ),
        frozenset(map(int, row["responses"])),
        row.get("x-last", False),
    )


def _resolved(value: Any, root: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_resolved(item, root) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(reference := value.get("$ref"), str):
        found: Any = root
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return _resolved(found, root)
    return {key: _resolved(item, root) for key, item in value.items()}
