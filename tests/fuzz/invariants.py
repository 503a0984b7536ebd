"""What holds for every artifact, however malformed: read, linted and described, or refused."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml  # here, so that no check imports it while files are guarded

from registry.artifact import Manifest, payload_digest
from registry.checkpoint.checkpoint import Checkpoint
from registry.checkpoint.facts import Facts
from registry.errors import QregError
from registry.finding import SEVERITIES, Finding
from registry.lint import CHIPS, Target, lint
from registry.listing import carried_manifest
from tests.fuzz.memory import MemorySource

TARGETS: tuple[Target, ...] = (
    Target(),
    *(Target(chip, tensor_parallel=2) for chip in CHIPS.values()),
    Target(CHIPS["A3"], tensor_parallel=16, data_parallel=2),
)
LOADED = (yaml,)
MOST_FINDINGS = 10_000
LONGEST_FINDING = 5000  # characters; the longest path has 1,024
_NO_FILES = payload_digest(())


class Violation(AssertionError):
    """Something does not hold that has to."""


def examine(source: MemorySource, target: Target | None = None) -> Facts | None:
    """Lint an artifact and derive its facts; None if it is refused with one of our errors.

    Raises:
        Violation, ForbiddenRead: an invariant is broken.
        Exception: anything else that escapes is a fault, too.
    """
    with _no_files():
        try:
            facts, findings = lint(source, target)
        except QregError as error:
            _check_text("the error", error.message, error.remedy)
            return None
        check_facts(facts)
        if len(findings) > MOST_FINDINGS:
            raise Violation(f"{len(findings)} findings, which nobody reads")
        for finding in findings:
            check_finding(finding)
        carried = carried_manifest(source)
        if carried is not None:
            check_manifest("qreg.json", carried)
    return facts


def check_facts(facts: Facts) -> None:
    """The footprint sums exactly, and everything can be written into a manifest and read again."""
    check_footprint(facts.checkpoint, facts.footprint)
    sections: dict[str, Any] = {
        "architecture": facts.architecture.to_json(),
        "quantization": facts.quantization.to_json(),
        "footprint": facts.footprint,
    }
    check_manifest("the manifest", Manifest("", _NO_FILES, (), **sections))


def check_manifest(name: str, manifest: Manifest) -> None:
    """It can be written, as strict JSON in UTF-8, and reads back as what it was."""
    try:
        content = manifest.to_bytes()
        value = json.loads(content, parse_constant=_refuse)
        same = Manifest.from_json(value).to_json() == manifest.to_json()
    except (ValueError, TypeError, RecursionError) as error:
        raise Violation(f"{name} cannot be written: {type(error).__name__}\n{error}") from error
    if not same:
        raise Violation(f"{name} does not read back as what it was")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def check_footprint(checkpoint: Checkpoint, footprint: Mapping[str, Any]) -> None:
    """Bytes and parameters sum to those of the tensors, and these to the shards' sizes."""
    stored = sum(tensor.size for tensor in checkpoint.tensors.values())
    for whole, parts in (
        ("weights", ("by_dtype", "by_component")),
        ("parameters", ("parameters_by_dtype", "parameters_by_component")),
    ):
        for part in parts:
            if sum(footprint[part].values()) != footprint[whole]:
                raise Violation(f"{part} does not sum to {whole}")
    if footprint["weights"] != stored or min(footprint["by_dtype"].values(), default=0) < 0:
        raise Violation("weights are not the bytes of the tensors")
    if any(fault.kind == "duplicate" for fault in checkpoint.faults):
        return
    if stored + footprint["headers"] != sum(checkpoint.files[s] for s in checkpoint.shards):
        raise Violation("weights and headers are not the sizes of the shards")


def check_finding(finding: Finding) -> None:
    """It has a known severity, and text that a terminal can show."""
    if finding.severity not in SEVERITIES or not finding.message:
        raise Violation(f"{finding.id} is malformed")
    _check_text(finding.id, finding.message, finding.fix, finding.where)
    if len(finding.message) + len(finding.where) > LONGEST_FINDING:
        raise Violation(f"{finding.id} has a text without end")


def _check_text(what: str, *texts: str) -> None:
    for text in texts:
        # ASCII without control characters is the rule; only the rest is looked at closely.
        if text.isascii() and text.isprintable():
            continue
        for char in text:
            category = unicodedata.category(char)
            if category == "Cs":
                raise Violation(f"{what} cannot be encoded in UTF-8\n{text!r:.300}")
            if category == "Cc" and char != "\n":
                raise Violation(f"{what} has control characters\n{text!r:.300}")


_guarded = False
_FORBIDDEN = ("open", "os.", "socket.", "subprocess.", "shutil.", "glob.", "tempfile.", "pty.")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _guarded and event.startswith(_FORBIDDEN) and not _is_import(arguments):
        raise Violation(f"{event} of {arguments!r:.200} while an artifact in memory is read")


def _is_import(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments) and str(arguments[0]).endswith((".py", ".pyc", ".so", "__pycache__"))


@contextmanager
def _no_files() -> Iterator[None]:
    """Nothing of this machine is opened, started or connected to: the artifact is in memory."""
    global _guarded
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_audit)
    _guarded = True
    try:
        yield
    finally:
        _guarded = False


_hooked: list[bool] = []
