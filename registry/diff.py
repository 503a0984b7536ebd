"""What differs between two artifacts, from their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.checkpoint.components import kind_of
from registry.checkpoint.facts import Facts
from registry.checkpoint.safetensors import Tensor
from registry.folder import Entry


@dataclass(frozen=True)
class Changes:
    """Keys that one side has, or that have another value.

    Attributes:
        added: only on the right, with its value.
        removed: only on the left, with its value.
        changed: on both, with the left and the right value.
    """

    added: Mapping[str, Any]
    removed: Mapping[str, Any]
    changed: Mapping[str, tuple[Any, Any]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def to_json(self) -> dict[str, Any]:
        return {
            "added": dict(self.added),
            "removed": dict(self.removed),
            "changed": {key: list(pair) for key, pair in self.changed.items()},
        }


@dataclass(frozen=True)
class Difference:
    """All that differs between a left and a right artifact; empty changes mean equal.

    Attributes:
        files: sizes in bytes, and where both sides know them sha256.
        tensors: `DTYPE [shape]` by name.
        schemes: layers by `kind: scheme`.
        config: values of config.json by path, `rope_scaling.factor`.
        footprint: bytes by component, and `parameters`.
    """

    files: Changes
    tensors: Changes
    schemes: Changes
    config: Changes
    footprint: Changes

    def __bool__(self) -> bool:
        return any((self.files, self.tensors, self.schemes, self.config, self.footprint))

    def to_json(self) -> dict[str, Any]:
        return {
            "equal": not self,
            "files": self.files.to_json(),
            "schemes": self.schemes.to_json(),
            "tensors": self.tensors.to_json(),
            "config": self.config.to_json(),
            "footprint": self.footprint.to_json(),
        }


def diff(left: Facts, right: Facts) -> Difference:
    """Compare two artifacts; contents of files count only where a store knows their sha256."""
    return Difference(
        files=_files(left.checkpoint.entries, right.checkpoint.entries),
        tensors=_changes(_tensors(left.checkpoint.tensors), _tensors(right.checkpoint.tensors)),
        schemes=_changes(_schemes(left), _schemes(right)),
        config=_changes(_flat(left.checkpoint.config), _flat(right.checkpoint.config)),
        footprint=_changes(_footprint(left), _footprint(right)),
    )


def by_kind(names: Mapping[str, Any]) -> dict[str, tuple[int, Any]]:
    """Names by kind, `model.layers.*.mlp.up_proj.weight`: how many, and the value of the first."""
    result: dict[str, tuple[int, Any]] = {}
    for name, value in names.items():
        kind = kind_of(name)
        count, first = result.get(kind, (0, value))
        result[kind] = (count + 1, first)
    return dict(sorted(result.items(), key=lambda item: -item[1][0]))


def _files(left: tuple[Entry, ...], right: tuple[Entry, ...]) -> Changes:
    ours = {entry.path: entry for entry in left}
    theirs = {entry.path: entry for entry in right}
    both = [path for path in ours if path in theirs]
    changed: dict[str, tuple[Any, Any]] = {}
    for path in both:
        a, b = ours[path], theirs[path]
        if a.size != b.size:
            changed[path] = (a.size, b.size)
        elif a.sha256 and b.sha256 and a.sha256 != b.sha256:
            changed[path] = (a.sha256, b.sha256)
    return Changes(
        {path: theirs[path].size for path in theirs if path not in ours},
        {path: ours[path].size for path in ours if path not in theirs},
        changed,
    )


def _changes(left: Mapping[str, Any], right: Mapping[str, Any]) -> Changes:
    return Changes(
        {key: value for key, value in right.items() if key not in left},
        {key: value for key, value in left.items() if key not in right},
        {
            key: (value, right[key])
            for key, value in left.items()
            if key in right and right[key] != value
        },
    )


def _tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{t.dtype} {list(t.shape)}" for name, t in tensors.items()}


def _schemes(facts: Facts) -> dict[str, int]:
    return {
        f"{kind}: {scheme}": count
        for kind, counts in facts.quantization.schemes.items()
        for scheme, count in counts.items()
    }


def _footprint(facts: Facts) -> dict[str, int]:
    found: dict[str, int] = dict(facts.footprint["by_component"])
    return {**found, "parameters": facts.footprint["parameters"]}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """JSON's leaves by their path; lists count as leaves, null as absent."""
    if not isinstance(value, Mapping):
        return {} if value is None else {path: value}
    result: dict[str, Any] = {}
    for key, inner in value.items():
        result.update(_flat(inner, f"{path}.{key}" if path else str(key)))
    return result
