"""The machines that qreg knows by name: one row each."""

from __future__ import annotations

from registry.errors import NotFoundError
from serving.hardware.profile import CUDA, NPU, Hardware

GIB = 2**30
MIB = 2**20
# Of the 64 GiB of an NPU torch sees 60.96. What other sizes keep back is not on record: the larger
# of the same amount and the same share is the safe guess.
_SEEN, _WHOLE = 60.96, 64
# Of a GPU's memory the CUDA context and ECC keep about this much back: an H100 with 81,559 MiB
# reports 79.1 GiB to torch.
CUDA_SHARE = 0.993
_NPU = ("bfloat16", "float16", "float32")
# 310P computes with float16; bfloat16 has no kernels there.
_310P = ("float16",)


def hbm(gib: float) -> int:
    """Bytes that torch sees of an NPU's HBM."""
    return int(min(gib * _SEEN / _WHOLE, gib - (_WHOLE - _SEEN)) * GIB)


def lpddr(megabytes: int) -> int:
    """Bytes that are usable of a 310P chip for which npu-smi shows so many MB."""
    return megabytes * 10**6


def _npu(name: str, devices: int, memory: int, chip: str, product: str, suffix: str) -> Hardware:
    dtypes = _310P if chip == "310P" else _NPU
    return Hardware(name, NPU, devices, memory, 0, chip, product, 1, suffix, dtypes)


def _cuda(name: str, mebibytes: int, product: str) -> Hardware:
    memory = int(mebibytes * MIB * CUDA_SHARE)
    return Hardware(f"cuda:{name}", CUDA, 8, memory, 0, name, product)


# Node sizes and memory of NPUs: vLLM Ascend 0.23.0's tutorials, and npu-smi's figures for 310P.
PROFILES = (
    _npu("A2", 8, hbm(64), "A2", "Atlas 800 A2, 8 × 64 GB", ""),
    _npu("A2-32G", 8, hbm(32), "A2", "Atlas 800 A2 with 910B4, 8 × 32 GB", ""),
    _npu("A3", 16, hbm(64), "A3", "Atlas 800 A3, 8 cards of two dies with 64 GB each", "-a3"),
    _npu("310P", 8, lpddr(21527), "310P", "310P cards of one chip with 24 GB", "-310p"),
    _npu("300I-Duo", 8, lpddr(21527), "310P", "Atlas 300I Duo, 4 × 2 chips, 48 GB", "-310p"),
    _npu("300I-Duo-96G", 8, lpddr(43693), "310P", "Atlas 300I Duo, 4 × 2 chips, 96 GB", "-310p"),
    _npu("950", 8, hbm(96), "950", "Ascend 950DT, 8 × 96 GB", "-a5"),
    _cuda("A100-40G", 40960, "NVIDIA A100, 40 GB"),
    _cuda("A100", 81920, "NVIDIA A100, 80 GB"),
    _cuda("H100", 81559, "NVIDIA H100, 80 GB"),
    _cuda("H200", 143771, "NVIDIA H200, 141 GB"),
    _cuda("B200", 183359, "NVIDIA B200, 180 GB"),
    _cuda("L40S", 46068, "NVIDIA L40S, 48 GB"),
    _cuda("L4", 23034, "NVIDIA L4, 24 GB"),
    _cuda("RTX4090", 24564, "NVIDIA GeForce RTX 4090, 24 GB"),
)
# Other names that people use.
_ALIASES = {
    "910B": "A2", "910C": "A3", "A5": "950", "950DT": "950", "ATLAS-800-A2": "A2",
    "800I-A2": "A2", "ATLAS-800-A3": "A3", "800I-A3": "A3", "910B4": "A2-32G",
    "A2-64G": "A2", "A3-64G": "A3", "310P3": "310P", "300I-PRO": "310P", "300I": "310P",
    "300I-DUO-48G": "300I-Duo", "CUDA:A100-80G": "cuda:A100", "CUDA:4090": "cuda:RTX4090",
}  # fmt: skip


def profiles() -> tuple[Hardware, ...]:
    """All profiles, NPUs first; a CPU is always the one at hand and has none."""
    return PROFILES


def profile(name: str) -> Hardware:
    """A profile by its name or another usual one, in any case.

    Raises:
        NotFoundError: there is none.
    """
    wanted = name.strip().upper().replace(" ", "-").replace("_", "-")
    wanted = _ALIASES.get(wanted, wanted).upper()
    for row in PROFILES:
        if row.name.upper() == wanted:
            return row
    raise NotFoundError(
        f"There is no hardware profile {name!r}", remedy=f"Known are {', '.join(names())}."
    )


def names() -> list[str]:
    """The names of all profiles."""
    return [row.name for row in PROFILES]
