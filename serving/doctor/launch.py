"""A launch that is wanted: its plan, the memory that is free for it, the disk for its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from registry.config import Settings
from registry.doctor import ERROR, OK, STATUSES, WARNING, Check
from serving.plan import Plan

GIB = 2**30
# What a plan says of the machine, where the doctor has looked itself.
_LOOKED_AT = ("toolchain", "pairing", "npu-health", "npu-busy", "gpu-busy")
_LESS = {"vllm-cpu": "VLLM_CPU_KVCACHE_SPACE"}


def plan(wanted: Plan) -> Iterator[Check]:
    """The plan's own findings, and what earlier launches showed."""
    for finding in wanted.findings:
        if finding.id in _LOOKED_AT:
            continue
        status = finding.severity if finding.severity in STATUSES else OK
        yield Check(f"plan-{finding.id}", status, finding.message, finding.fix, finding.where)
    if wanted.fits:
        yield Check(
            "plan", OK, f"{wanted.artifact} fits {wanted.hardware} with {wanted.engine}", "",
            wanted.artifact,
        )  # fmt: skip
    for proof in wanted.proven:
        yield Check("proven", OK if proof.passed else WARNING, _upper(proof.sentence), "See its log"
                    " in qreg's data folder, in logs/ ." if not proof.passed else "")  # fmt: skip


def free_memory(wanted: Plan, free: Mapping[str, int]) -> Iterator[Check]:
    """Whether each device has free what the plan takes.

    Args:
        wanted: the plan.
        free: bytes that are free, by device, `NPU 0`.
    """
    memory, share = wanted.memory, wanted.value("--gpu-memory-utilization")
    least = memory.weights + memory.kv_cache
    need = least + memory.overhead
    if share is not None:
        # `request_memory` of vllm 0.32 (v1/worker/utils.py) refuses a start below its share.
        least = need = int(float(share) * memory.capacity)
    for where, size in free.items():
        text = f"{size / GIB:.1f} GiB are free, and the plan takes {need / GIB:.1f} GiB"
        if size >= need:
            yield Check("free-memory", OK, text, "", where)
        else:
            yield Check(
                "free-memory",
                ERROR if size < least else WARNING,
                text,
                "End what runs there, choose others with --devices , or ask for less: a shorter "
                f"context, {_LESS.get(wanted.engine, '-- --gpu-memory-utilization')} .",
                where,
            )


def disk(settings: Settings, size: int, what: str) -> Check:
    """Room for files that are not here yet.

    Args:
        settings: name the cache.
        size: bytes to bring here.
        what: the artifact.
    """
    folder: Path = settings.cache
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{what} has {size / GIB:.1f} GiB to bring here, and {folder} has {free / GIB:.1f} GiB"
    if free > size:
        return Check("disk", OK, text, "", str(folder))
    fix = "Free some space (`qreg cache prune`), or set QREG_CACHE to a larger disk."
    return Check("disk", ERROR, text, fix, str(folder))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
