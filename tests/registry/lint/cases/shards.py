"""Whole shards, an index that fits them, nothing left over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.describe import describe_folder
from tests.lint_cases import Artifact, Change, Stored, floating, made, modelslim, mtp
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import arrange, describe, finish, put, remove, store
from tests.twins.write import write_sparse_shard

_INDEX = "quant_model_weights.safetensors.index.json"
_FIRST, _SECOND = (f"quant_model_weights-0000{n}-of-00002.safetensors" for n in (1, 2))
_NORM = "model.norm.weight"
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4000000000\n"
_EXTRA: dict[str, Stored] = {"model.extra.weight": ("BF16", (4, 4))}


def _edit(path: str, change: Callable[[dict[str, Any]], object]) -> Change:
    """Change a JSON file of the written folder."""

    def act(folder: Path) -> None:
        content = json.loads((folder / path).read_text())
        change(content)
        (folder / path).write_text(json.dumps(content))

    return finish(act)


def _cut(path: str, by: int) -> Change:
    return finish(lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:-by]))


def _shard(path: str, tensors: dict[str, Stored] = _EXTRA) -> Change:
    """Add a sound safetensors file that belongs to nothing."""

    def act(folder: Path) -> None:
        (folder / path).parent.mkdir(exist_ok=True)
        write_sparse_shard(folder / path, tensors)

    return finish(act)


def _rotation(path: str) -> Change:
    """Name a file of QuaRot's rotation in the description."""
    return describe(optional={"quarot": {"rotation_map": {"global_rotation": path}}})


def _copied(path: str, other: str) -> Change:
    return finish(lambda folder: (folder / other).write_bytes((folder / path).read_bytes()))


def _renamed(pattern: str, old: str, new: str) -> Change:
    def act(folder: Path) -> None:
        for file in folder.glob(pattern):
            file.rename(folder / file.name.replace(old, new))

    return finish(act)


def _manifest(folder: Path) -> None:
    (folder / "README.md").write_text("A card.")
    (folder / "qreg.json").write_bytes(describe_folder(folder, name="org/name").to_bytes())


def _published(*after: Change) -> Artifact:
    """With its manifest, and what happened to it later."""
    return made(modelslim, finish(_manifest), *after)


_SINGLE = arrange(shards=1, indexed=False)
_LONG = _renamed("model-*", "-of-00002", "-of-000002")  # DeepSeek's own: model-00001-of-000163
CASES = {
    "config-missing": [
        Case(
            "settings of another format only",
            made(modelslim, _renamed("config.json", "config", "params")),
            made(modelslim, put("params.json", "{}")),
            where="config.json",
            says="has no config.json",
        )
    ],
    "weights-missing": [
        Case(
            "pickles only",
            made(floating, _SINGLE, _renamed("*.safetensors", ".safetensors", ".bin")),
            made(floating, _SINGLE, _renamed("*.safetensors", "model", "consolidated")),
            where="*.safetensors",
            says="no *.safetensors",
        )
    ],
    "shard-damaged": [
        Case(
            "an interrupted download",
            made(modelslim, _cut(_SECOND, 7)),
            made(modelslim, store("model.nothing", "BF16", 0)),
            where=_SECOND,
            says="truncated",
        ),
        Case(
            "an empty file",
            made(modelslim, finish(lambda folder: (folder / _FIRST).write_bytes(b""))),
            # That it is a pointer says more than that it is damaged.
            made(modelslim, finish(lambda f: (f / _FIRST).write_bytes(_POINTER))),
            where=_FIRST,
            says="empty",
        ),
    ],
    "index-mismatch": [
        Case(
            "a shard is missing",
            made(modelslim, remove(_SECOND)),
            made(modelslim, remove(_SECOND), remove(_INDEX)),
            where=_SECOND,
            says="which is not there",
        ),
        Case(
            "a tensor is put into the wrong shard",
            made(modelslim, _edit(_INDEX, lambda i: i["weight_map"].update({_NORM: _FIRST}))),
            made(modelslim, _edit(_INDEX, lambda i: i["weight_map"].update({_NORM: _SECOND}))),
            where="model.norm.weight",
            says="does not hold it",
        ),
        Case(
            "the index is cut off",
            made(modelslim, _cut(_INDEX, 7)),
            made(modelslim, _edit(_INDEX, lambda index: index.pop("metadata"))),
            where=_INDEX,
            says="is not JSON",
        ),
    ],
    "index-incomplete": [
        Case(
            "a tensor that the index does not name",
            made(modelslim, _edit(_INDEX, lambda index: index["weight_map"].pop(_NORM))),
            made(modelslim, remove(_INDEX)),
            "warning",
            "model.norm.weight",
            "model.norm.weight",
        )
    ],
    "shard-surplus": [
        Case(
            "an older result, which the index leaves out",
            made(floating, _shard("other.safetensors")),
            made(floating, _shard("consolidated.safetensors")),
            "warning",
            "other.safetensors",
        ),
    ],
    "duplicate-tensor": [
        Case(
            "a tensor in two shards",
            made(modelslim, _SINGLE, _copied(_FIRST.replace("2.s", "1.s"), "x.safetensors")),
            made(modelslim, _SINGLE, _shard("x.safetensors")),
            where=None,
            says="and in x.safetensors",
        ),
        Case(
            # vLLM 0.23.0 reads model.safetensors.index.json alone; beside an index of another
            # name it loads every *.safetensors (default_loader.py): both, one over the other.
            "float weights left where ModelSlim wrote its own",
            made(modelslim, _shard("model.safetensors", {_NORM: ("BF16", (64,))})),
            made(floating, _shard("other.safetensors", {_NORM: ("BF16", (64,))})),
            where=_NORM,
            says="model.safetensors",
        ),
    ],
    "shards-incomplete": [
        Case(
            "an unfinished run",
            made(modelslim, remove(_INDEX), _renamed("quant*", "-of-00002", "-of-00000")),
            made(modelslim, remove(_INDEX)),
            where="quant_model_weights-00001",
            says="unfinished run",
        ),
        Case(
            "a number is missing",
            made(mtp, arrange(shards=3, indexed=False), remove(_FIRST.replace("02.s", "03.s"))),
            made(mtp, arrange(shards=3, indexed=False), _shard("mtp-00001-of-00001.safetensors")),
            where=_FIRST.replace("02.s", "03.s"),
            says="Of 3 shards 1 are missing",
        ),
        Case(
            "a number is missing among DeepSeek's names",
            made(
                floating, arrange(indexed=False), _LONG, remove("model-00002-of-000002.safetensors")
            ),
            made(floating, arrange(indexed=False), _LONG),
            where="model-00002-of-000002.safetensors",
            says="missing",
        ),
    ],
    "side-weights": [
        Case(
            "a rotation that was not copied",
            made(modelslim, _rotation("optional/quarot.safetensors")),
            made(
                modelslim,
                _rotation("optional/quarot.safetensors"),
                _shard("optional/quarot.safetensors"),
            ),
            where="optional/quarot.safetensors",
            says="which is not there",
        ),
        Case(
            "a rotation that is cut off",
            made(
                modelslim,
                _rotation("optional/quarot.safetensors"),
                put("optional/quarot.safetensors", b"\x00\x00\x00"),
            ),
            made(
                modelslim,
                _rotation("./optional/quarot.safetensors"),
                _shard("optional/quarot.safetensors"),
            ),
            where="optional/quarot.safetensors",
            says="truncated",
        ),
        Case(
            "weights that nothing names, in a folder",
            made(floating, put("original/model.safetensors", b"\x00\x00\x00")),
            # lfs-pointer tells of it.
            made(floating, put("original/model.safetensors", _POINTER)),
            "warning",
            "original/model.safetensors",
            "truncated",
        ),
    ],
    "manifest-stale": [
        Case(
            "weights were replaced",
            _published(_copied(_FIRST, _SECOND)),
            _published(finish(lambda folder: (folder / "README.md").write_text("A longer card."))),
            where=_SECOND,
            says="not as large as qreg.json says",
        )
    ],
}
