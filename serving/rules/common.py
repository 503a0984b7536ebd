"""Rules that hold for vLLM on any hardware."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from registry.finding import ERROR, WARNING, Finding
from serving.facts import ArtifactFacts
from serving.plan import ARTIFACT, DEFAULT, USER, Flag
from serving.rules.situation import Situation


def model(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "--model",
        s.facts.folder,
        f"the files of {s.facts.digest[:19]}…; serve verifies them first",
        ARTIFACT,
    )


def served_name(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "--served-model-name", s.facts.name, "clients ask for the artifact by its name", ARTIFACT
    )


def address(s: Situation) -> Iterator[Flag]:
    local = s.wishes.host in ("127.0.0.1", "localhost", "::1")
    yield Flag(
        "--host",
        s.wishes.host,
        "reachable from this machine only" if local else "where the user wants it to listen",
        DEFAULT if local else USER,
    )
    standard = s.wishes.port == 8000
    yield Flag(
        "--port",
        str(s.wishes.port),
        "vLLM's usual port" if standard else "the port that the user chose",
        DEFAULT if standard else USER,
    )


def dtype(s: Situation) -> Iterator[Flag]:
    if s.facts.architecture.dtype:
        yield Flag(
            "--dtype",
            s.facts.architecture.dtype,
            "the type that config.json gives for what is not quantized",
            ARTIFACT,
        )


def context(s: Situation) -> Iterator[Flag]:
    if s.fit.max_model_len:
        positions = s.facts.architecture.max_positions
        yield Flag(
            "--max-model-len",
            str(s.fit.max_model_len),
            f"cut from {positions} tokens to what one sequence's KV cache has room for"
            if s.fit.shortened
            else f"all {positions} positions that config.json allows",
            "hardware" if s.fit.shortened else ARTIFACT,
        )


def remote_code(s: Situation) -> Iterator[Flag]:
    if s.wishes.trust_remote_code:
        yield Flag("--trust-remote-code", None, "the user allows the model's own code", USER)


def check_remote_code(s: Situation) -> Iterator[Finding]:
    if s.facts.architecture.remote_code and not s.wishes.trust_remote_code:
        yield Finding(
            "remote-code",
            WARNING,
            f"{s.facts.name} brings Python code of its own (auto_map in config.json)",
            "If the engine does not know the model by itself, read the code and add "
            "--trust-remote-code .",
        )


def check_memory(s: Situation) -> Iterator[Finding]:
    memory = s.fit.memory
    if memory.free < 0:
        yield Finding(
            "memory",
            ERROR,
            f"{s.facts.name} needs {_gib(memory.capacity - memory.free)} GiB on {s.hardware.name}: "
            f"{_gib(memory.weights)} weights, {_gib(memory.kv_cache)} KV cache, "
            f"{_gib(memory.overhead)} overhead; {_gib(memory.capacity)} GiB are usable, "
            f"{_gib(-memory.free)} GiB are missing",
            "Use a machine with more memory, or an artifact with fewer bits.",
        )


def converted_name(name: str) -> str:
    """What a converted copy is called: ORG/NAME-ct, `local` where a folder has no ORG."""
    org, _, last = name.rpartition("/")
    words = re.sub("[^A-Za-z0-9._]+|[.]{2,}", "-", last).strip("-._")[:90].rstrip("-._")
    return f"{org or 'local'}/{words or 'model'}-ct"


def convertible(facts: ArtifactFacts) -> str:
    """What to do with an artifact of ModelSlim's where its format cannot be read.

    `qreg convert` says W8A8_DYNAMIC in compressed-tensors, bit for bit; nothing else of it.
    """
    where = shlex.quote(facts.folder if facts.folder.startswith("/") else facts.name)
    names = {scheme for kinds in facts.schemes.values() for scheme in kinds} - {"FLOAT"}
    if names == {"W8A8_DYNAMIC"}:
        return (
            f"Convert it, bit for bit: qreg convert {where} --format compressed-tensors "
            f"--name {converted_name(facts.name)} ; or qreg serve --convert, which does that once "
            "and keeps it."
        )
    others = ", ".join(sorted(names - {"W8A8_DYNAMIC"})) or "no scheme that is known"
    return (
        f"Serve it on NPUs. qreg convert writes W8A8_DYNAMIC in another format, and this has "
        f"{others}; or quantize the base with --tool llmcompressor ."
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
