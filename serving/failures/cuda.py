"""Failures of vLLM on GPUs of NVIDIA."""

from __future__ import annotations

from serving.failures.known import KnownFailure
from serving.failures.shared import SHARED

CUDA = (
    KnownFailure(
        r"CUDA out of memory\. Tried to allocate (?P<wanted>[\d.]+ \w+)"
        r"(?:\. GPU (?P<device>\d+) has a total capacity of (?P<total>[\d.]+ \w+) of which "
        r"(?P<free>[\d.]+ \w+) is free)?",
        "a GPU ran out of memory when {wanted} more were wanted ({free} of {total} were free)",
        "If `nvidia-smi` shows other processes there, stop them or choose others with --devices . "
        "Else shorten the context (-- --max-model-len N), use fewer sequences (-- --max-num-seqs "
        "N) or more GPUs.",
        "c10/cuda/CUDACachingAllocator.cpp of torch 2.13",
    ),
    KnownFailure(
        r"no kernel image is available for execution on the device",
        "this build of the engine or of torch has no code for this GPU",
        "Install a build for it; the compute capability is shown by nvidia-smi "
        "--query-gpu=compute_cap --format=csv .",
        "CUDA, cudaErrorNoKernelImageForDevice",
    ),
    KnownFailure(
        r"driver version is insufficient for CUDA runtime|The NVIDIA driver on your system is too "
        r"old",
        "the driver is older than the engine's CUDA",
        "Update the driver, or install a build for an older CUDA.",
        "torch 2.13, c10/cuda/CUDAFunctions.cpp",
    ),
    KnownFailure(
        r"Found no NVIDIA driver|Failed to infer device type|No CUDA GPUs are available",
        "torch sees no GPU",
        "Look at `nvidia-smi`; in a container pass the GPUs (--gpus all), and check "
        "CUDA_VISIBLE_DEVICES and that torch is a build for CUDA.",
        "torch 2.13, cuda/__init__.py; config/device.py",
    ),
    KnownFailure(
        r"CUDA-capable device\(s\) is/are busy or unavailable",
        "a GPU is in exclusive use by another process",
        "Stop that process, choose others with --devices , or set its mode: nvidia-smi -c 0 .",
        "CUDA, cudaErrorDevicesUnavailable",
    ),
    KnownFailure(
        r"uncorrectable ECC error",
        "a GPU reports an uncorrectable memory error",
        "Reset that GPU or leave it out with --devices ; `nvidia-smi -q -d ECC` shows which.",
        "CUDA, cudaErrorECCUncorrectable",
    ),
    KnownFailure(
        r"NCCL error[^:]*: (?P<what>.*)",
        "GPUs could not talk to each other (NCCL: {what})",
        "NCCL_DEBUG=INFO shows why; in a container /dev/shm may be too small (--shm-size 16g).",
        "torch 2.13, NCCLUtils.hpp; distributed/device_communicators/pynccl_wrapper.py",
        weak=True,
    ),
    *SHARED,
)
