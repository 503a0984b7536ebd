"""What differs between two artifacts, from their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.checkpoint.components import kind_of
from registry.checkpoint.facts import Facts
from registry.checkpoint.safetensors import Tensor


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


Content = tuple[int, str | None]  # size in bytes, and sha256 where it is known


@dataclass(frozen=True)
class Side:
    """One of the two artifacts.

    Attributes:
        facts: from its metadata.
        contents: size and, where it is known, sha256 of each payload file.
    """

    facts: Facts
    contents: Mapping[str, Content]


@dataclass(frozen=True)
class Difference:
    """All that differs between a left and a right artifact; empty changes mean equal.

    Attributes:
        files: sizes in bytes, or the sha256 of files of the same size.
        tensors: `DTYPE [shape]` by name.
        schemes: layers by `kind: scheme`.
        config: values of config.json by path, `rope_scaling.factor`.
        footprint: bytes by component, and `parameters`.
        uncompared: files of the same size whose contents are not known on both sides.
    """

    files: Changes
    tensors: Changes
    schemes: Changes
    config: Changes
    footprint: Changes
    uncompared: list[str]

    def __bool__(self) -> bool:
        return any((self.files, self.tensors, self.schemes, self.config, self.footprint))

    def to_json(self) -> dict[str, Any]:
        return {
            "equal": False if self else None if self.uncompared else True,
            "uncompared": list(self.uncompared),
            "files": self.files.to_json(),
            "schemes": self.schemes.to_json(),
            "tensors": self.tensors.to_json(),
            "config": self.config.to_json(),
            "footprint": self.footprint.to_json(),
        }


def diff(left: Side, right: Side) -> Difference:
    """Compare two artifacts; what no loader reads (the card, qreg.json) does not count."""
    ours, theirs = left.contents, right.contents
    files, uncompared = _files(ours, theirs)
    return Difference(
        files=files,
        uncompared=uncompared,
        tensors=_changes(
            _tensors(left.facts.checkpoint.tensors), _tensors(right.facts.checkpoint.tensors)
        ),
        schemes=_changes(_schemes(left.facts), _schemes(right.facts)),
        config=_changes(_flat(left.facts.checkpoint.config), _flat(right.facts.checkpoint.config)),
        footprint=_changes(_footprint(left.facts), _footprint(right.facts)),
    )


def by_kind(names: Mapping[str, Any]) -> dict[str, tuple[int, Any]]:
    """Names by kind, `model.layers.*.mlp.up_proj.weight`: how many, and the value of the first."""
    result: dict[str, tuple[int, Any]] = {}
    for name, value in names.items():
        kind = kind_of(name)
        count, first = result.get(kind, (0, value))
        result[kind] = (count + 1, first)
    return dict(sorted(result.items(), key=lambda item: -item[1][0]))


def _files(ours: Mapping[str, Content], theirs: Mapping[str, Content]) -> tuple[Changes, list[str]]:
    """Changed files, and those of the same size whose contents nobody knows."""
    changed: dict[str, tuple[Any, Any]] = {}
    uncompared = []
    for path in [path for path in ours if path in theirs]:
        (size, sha256), (other_size, other_sha256) = ours[path], theirs[path]
        if size != other_size:
            changed[path] = (size, other_size)
        elif not sha256 or not other_sha256:
            uncompared.append(path)
        elif sha256 != other_sha256:
            changed[path] = (sha256, other_sha256)
    added = {path: theirs[path][0] for path in theirs if path not in ours}
    removed = {path: ours[path][0] for path in ours if path not in theirs}
    return Changes(added, removed, changed), uncompared


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
