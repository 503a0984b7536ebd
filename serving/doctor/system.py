"""Limits of the operating system that engines run into."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from registry.doctor import ERROR, OK, UNKNOWN, WARNING, Check
from registry.errors import UsageError
from serving.identity import require_free_port

MIB, GIB = 2**20, 2**30
# Docker gives a container 64 MB. vLLM's workers hand each other tensors there, HCCL and NCCL their
# messages; vLLM's and vLLM Ascend's documents start containers with --shm-size of 1 GiB and more.
_DOCKERS, _ENOUGH = 64 * 10**6, GIB
# vLLM raises the soft limit to 65,535 and warns where it may not (utils/system_utils.py).
_FILES, _FEW_FILES = 65535, 1024


def shared_memory(
    ranks: int | None = None,
    folder: Path = Path("/dev/shm"),  # noqa: S108
) -> Iterator[Check]:
    """Room for the messages of an engine's workers.

    Args:
        ranks: of the plan on this machine, with a worker each; None where there is no plan.
        folder: where it is mounted.
    """
    fix = "In Docker, give --shm-size 16g or --ipc host; elsewhere, mount -o remount,size=16G "
    fix += f"{folder} ."
    if not folder.is_dir():
        yield Check("shared-memory", WARNING, f"There is no {folder}", fix)
        return
    usage = shutil.disk_usage(folder)
    text = f"{folder} has {usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB free"
    if usage.free >= _ENOUGH:
        yield Check("shared-memory", OK, text)
    elif usage.free <= _DOCKERS and ranks is not None and ranks > 1:
        yield Check("shared-memory", ERROR, f"{text}: too little for {ranks} workers", fix)
    else:
        yield Check("shared-memory", WARNING, f"{text}; workers may fail at their start", fix)


def open_files(limits: tuple[int, int] | None = None) -> Check:
    """The number of files that a process may have open.

    Args:
        limits: soft and hard; by default those of this process, which an engine inherits.
    """
    _, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= _FILES:
        return Check("open-files", OK, "A process may open as many files as vLLM asks for")
    text = f"A process may open {hard:,} files, and vLLM asks for {_FILES:,}"
    fix = f"Raise the hard limit: `ulimit -Hn {_FILES}`, LimitNOFILE= of a service, or --ulimit "
    fix += f"nofile={_FILES} of Docker."
    if hard >= _FEW_FILES:
        return Check("open-files", OK, f"{text}; that is enough for some hundred requests at once")
    return Check("open-files", WARNING, text, fix)


def locked_memory(kind: str, limits: tuple[int, int] | None = None) -> Iterator[Check]:
    """Memory that a process may lock, which RDMA between NPUs or GPUs of several nodes needs."""
    if kind == "cpu":
        return
    soft, _ = limits or resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or soft >= GIB:
        yield Check("locked-memory", OK, "Memory can be locked for RDMA")
    else:
        yield Check(
            "locked-memory", OK,
            f"A process may lock {soft / MIB:.0f} MiB: enough for one node, not for RDMA between "
            "several",
            "For several nodes: `ulimit -l unlimited`, or --ulimit memlock=-1 of Docker.",
        )  # fmt: skip


def port(host: str, number: int, *, asked: bool) -> Check:
    """Whether the server could listen.

    Args:
        host: address.
        number: of the port.
        asked: whether a launch on it was asked for; else it is only the usual one.
    """
    try:
        require_free_port(host, number)
    except UsageError as error:
        return Check(
            "port", ERROR if asked else WARNING, error.message, error.remedy, f"{host}:{number}"
        )
    except OSError as error:
        return Check("port", UNKNOWN, f"{host} cannot be listened on: {error}", "Check --host .")
    return Check("port", OK, f"Port {number} on {host} is free", "", f"{host}:{number}")
