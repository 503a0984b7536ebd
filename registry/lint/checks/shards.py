"""Checks of the weights as files: whole shards, an index that fits them, nothing left over."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count, islice

from registry.checkpoint.safetensors import BrokenShard, read_header
from registry.finding import ERROR, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject

_NUMBERED = re.compile(r"(.+)-(\d{5})-of-(\d{5,6})\.safetensors\Z")
_MOST_SIDE_FILES = 64  # real artifacts have one
_ELSEWHERE = ("lfs-pointer", "pickle", "archive", "web-page")


@check(
    "config-missing",
    ERROR,
    prevents="Nothing can tell what model this is, and no engine loads it.",
    seen="weights copied without their side files",
    fix="Copy config.json from the model that was quantized.",
)
def config_missing(subject: Subject) -> Iterator[Found]:
    for fault in subject.checkpoint.faults:
        if fault.kind == "config" and fault.where not in subject.files:
            yield Found(fault.error.message, fault.where)


@check(
    "weights-missing",
    ERROR,
    prevents="There is nothing to load, or only pickles.",
    seen=f"{ASCEND}9894 (a download that had not ended)",
    fix="Copy the *.safetensors files; convert pickled weights with the model's framework.",
)
def weights_missing(subject: Subject) -> Iterator[Found]:
    for fault in subject.checkpoint.faults:
        if fault.kind == "weights":
            yield Found(fault.error.message, fault.where)


@check(
    "shard-damaged",
    ERROR,
    prevents="Loading stops with 'incomplete metadata', after the other shards were loaded.",
    seen="interrupted downloads, full disks",
    fix="Copy or download the shard again; qreg verify tells whether its bytes are right.",
)
def shard_damaged(subject: Subject) -> Iterator[Found]:
    for fault in subject.checkpoint.faults:
        if fault.kind == "shard" and fault.verdict not in _ELSEWHERE:
            yield Found(fault.error.message, fault.where)


@check(
    "index-mismatch",
    ERROR,
    prevents="Loaders look for tensors in shards that lack them, or ignore shards altogether.",
    seen="an index of the float model beside quantized shards",
    fix="Use the index of the same run, or remove it and let the tool write it again.",
)
def index_mismatch(subject: Subject) -> Iterator[Found]:
    for fault in subject.checkpoint.faults:
        if fault.kind == "index":
            yield Found(fault.error.message, fault.where, fix=fault.error.remedy)


@check(
    "index-incomplete",
    WARNING,
    prevents="Loaders that trust the index leave these tensors at random values.",
    seen="shards edited after the index was written",
    fix="Write the index again from the shards.",
)
def index_incomplete(subject: Subject) -> Iterator[Found]:
    names = subject.checkpoint.unindexed
    if names:
        yield Found(f"The index does not name {some(names, 'tensors')}", names[0])


@check(
    "shard-surplus",
    WARNING,
    prevents="Weights of another run are moved, hashed and kept, and some loaders mix them in.",
    seen="quantizing into a folder that holds an older result",
    fix="Remove the files that belong to another run.",
)
def shard_surplus(subject: Subject) -> Iterator[Found]:
    names = subject.checkpoint.unlisted
    if names:
        yield Found(
            f"The index does not name {some(names, 'files')}, which lie beside it", names[0]
        )


@check(
    "duplicate-tensor",
    ERROR,
    prevents="Which of the two a loader takes depends on the order of files.",
    seen="two savers of msmodelslim 26.1.0 writing into one folder",
    fix="Keep the shards of one run.",
)
def duplicate_tensor(subject: Subject) -> Iterator[Found]:
    for fault in subject.checkpoint.faults:
        if fault.kind == "duplicate":
            yield Found(fault.error.message, fault.where)


@check(
    "shards-incomplete",
    ERROR,
    prevents="The model loads with layers missing, or a quantizer was killed while it wrote.",
    seen="msmodelslim 26.1.0 names shards '-of-00000' until it ends",
    fix="Copy the missing shards, or quantize again.",
)
def shards_incomplete(subject: Subject) -> Iterator[Found]:
    series = defaultdict(set)
    for path in subject.files:
        match = _NUMBERED.match(path)
        if match and "/" not in path:
            series[match.group(1), match.group(3)].add(int(match.group(2)))
    for (name, digits), numbers in sorted(series.items()):
        total = int(digits)
        first = next(n for n in count(1) if n not in numbers)
        missing = total - len(numbers)
        if not total:
            yield Found(
                f"The shards of {name} bear the names of an unfinished run", f"{name}-00001"
            )
        elif missing > 0 and not subject.checkpoint.index_paths:  # an index says it better
            yield Found(
                f"Of {total} shards {missing} are missing, the first is number {first}",
                f"{name}-{first:05d}-of-{digits}.safetensors",
            )


@check(
    "manifest-stale",
    ERROR,
    prevents="Weights were replaced under the same name, and evidence of others is believed.",
    seen=f"{ASCEND}4093, {ASCEND}9894",
    fix="qreg verify shows what differs; pull the artifact again, or publish it --describe-anew.",
)
def manifest_stale(subject: Subject) -> Iterator[Found]:
    changed = subject.manifest.changed(subject.files) if subject.manifest else []
    if changed:
        yield Found(f"{some(changed, 'files')} are not as large as qreg.json says", changed[0])


@check(
    "side-weights",
    ERROR,
    prevents="What is loaded beside the shards, such as QuaRot's rotation for a draft model, is "
    "missing or cut off.",
    seen="msmodelslim 26.1.0 writes optional/quarot.safetensors; copies of the top folder alone",
    fix="Copy the file from where the artifact was made, folder and all.",
)
def side_weights(subject: Subject) -> Iterator[Found]:
    named = _rotation_files(subject)
    for path, key in named.items():
        if path not in subject.files:
            yield Found(f"The description names {path[:200]} ({key}), which is not there", path)
    nested = [p for p in subject.files if "/" in p and p.lower().endswith(".safetensors")]
    # From afar each look is a request.
    looked = dict.fromkeys([*named, *(nested if subject.is_local else ())])
    for path in islice((path for path in looked if path in subject.files), _MOST_SIDE_FILES):
        try:
            read_header(path, subject.files[path], partial(subject.source.read, path))
        except BrokenShard as error:
            if not (subject.is_local and error.verdict in _ELSEWHERE):  # told of all files there
                yield Found(error.message, path, None if path in named else WARNING)


def _rotation_files(subject: Subject) -> dict[str, str]:
    """The files that ModelSlim's description names beside the shards, and how they are called."""
    optional = (subject.checkpoint.description or {}).get("optional")
    found = {}
    for scope in optional.values() if isinstance(optional, Mapping) else ():
        rotations = scope.get("rotation_map") if isinstance(scope, Mapping) else None
        for key, path in rotations.items() if isinstance(rotations, Mapping) else ():
            if isinstance(path, str):
                found[posixpath.normpath(path)] = str(key)[:80]
    return dict(islice(found.items(), _MOST_SIDE_FILES))


CHECKS = (
    config_missing,
    weights_missing,
    shard_damaged,
    index_mismatch,
    index_incomplete,
    shard_surplus,
    duplicate_tensor,
    shards_incomplete,
    side_weights,
    manifest_stale,
)
