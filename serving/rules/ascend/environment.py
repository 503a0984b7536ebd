"""Environment variables of the launch."""

from __future__ import annotations

from collections.abc import Iterator

from serving.fit.communication import USUAL, hccl_buffer
from serving.plan import DEFAULT, HARDWARE, RELEASE, USER, Flag
from serving.rules.situation import Situation
from serving.wishes import PREFILL


def allocator(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "PYTORCH_NPU_ALLOC_CONF",
        "expandable_segments:True",
        "keeps memory from breaking into pieces that are too small",
        RELEASE,
    )


def communication(s: Situation) -> Iterator[Flag]:
    layout = s.fit.layout
    if layout.devices > 1 and s.hardware.chip == "A3":
        reason = "collectives run on A3's vector cores, without the host"
        where = "117 of 142 launches on A3"
        yield Flag("HCCL_OP_EXPANSION_MODE", "AIV", reason, HARDWARE, evidence=where)
    decoding = s.fit.max_num_seqs if s.wishes.role != PREFILL else 1
    size = hccl_buffer(s.facts.architecture, layout, decoding, s.fit.speculative)
    if size > USUAL:
        yield Flag(
            "HCCL_BUFFSIZE",
            str(size),
            f"MB for {s.fit.max_num_seqs} sequences' tokens on their way to experts; "
            f"HCCL's own {USUAL} are too few",
            HARDWARE,
            evidence="vllm-project/vllm-ascend#2674; the formula of the dispatch operators, which "
            "340 of 346 launches satisfy",
        )


def threads(s: Situation) -> Iterator[Flag]:
    yield Flag("OMP_PROC_BIND", "false", "threads of many workers share the cores", DEFAULT)
    reason = "a worker needs one thread; all of them would start one a core"
    yield Flag("OMP_NUM_THREADS", "1", reason, DEFAULT)


def queue(s: Situation) -> Iterator[Flag]:
    yield Flag("TASK_QUEUE_ENABLE", "1", "operators are sent to the device ahead of time", RELEASE)


def offline(s: Situation) -> Iterator[Flag]:
    reason = "nothing is fetched: the artifact is whole and verified"
    yield Flag("HF_HUB_OFFLINE", "1", reason, DEFAULT)
    yield Flag("VLLM_NO_USAGE_STATS", "1", "nothing is reported", DEFAULT)


def devices(s: Situation) -> Iterator[Flag]:
    chosen = s.hardware.numbers
    if chosen:
        yield Flag(
            "ASCEND_RT_VISIBLE_DEVICES",
            ",".join(map(str, chosen)),
            "the devices that your environment shows, or some of them"
            if s.hardware.shown
            else "the devices that are free or were chosen",
            USER if s.hardware.shown else HARDWARE,
        )
