"""Rules for vLLM on CUDA GPUs: those of the model and its spread, without what is Ascend's own."""

from __future__ import annotations

from collections.abc import Iterator

from registry.finding import ERROR, Finding
from serving.hardware.visible import VISIBLE
from serving.plan import DEFAULT, HARDWARE, USER, Flag
from serving.rules import common
from serving.rules.ascend import artifact, capacity, checks, parallel, speed
from serving.rules.situation import Check, Rule, Situation


def expert_parallel(s: Situation) -> Iterator[Flag]:
    if s.fit.layout.experts:
        reason = f"{s.facts.architecture.experts} experts stay whole, spread over the ranks"
        yield Flag("--enable-expert-parallel", None, reason, HARDWARE)


def devices(s: Situation) -> Iterator[Flag]:
    if s.hardware.numbers:
        name, numbers = VISIBLE["cuda"], ",".join(map(str, s.hardware.numbers))
        if s.hardware.shown:
            reason, source = "the GPUs that your environment shows, or some of them", USER
        else:
            reason, source = "the GPUs that are equal or were chosen", HARDWARE
        yield Flag(name, numbers, reason, source)
        reason = "GPUs are numbered as nvidia-smi numbers them, not by their speed"
        yield Flag("CUDA_DEVICE_ORDER", "PCI_BUS_ID", reason, HARDWARE)


def offline(s: Situation) -> Iterator[Flag]:
    reason = "nothing is fetched: the artifact is whole and verified"
    yield Flag("HF_HUB_OFFLINE", "1", reason, DEFAULT)
    yield Flag("VLLM_NO_USAGE_STATS", "1", "no usage statistics leave this machine", DEFAULT)
    yield Flag("DO_NOT_TRACK", "1", "nor those of its libraries", DEFAULT)


def check_method(s: Situation) -> Iterator[Finding]:
    if s.facts.is_modelslim:
        yield Finding(
            "method",
            ERROR,
            "vLLM on GPUs cannot read ModelSlim's artifacts",
            common.convertible(s.facts),
        )


RULES: tuple[Rule, ...] = (
    common.served_name,
    common.address,
    common.dtype,
    artifact.overrides,
    artifact.tokenizer_mode,
    common.remote_code,
    parallel.tensor_parallel,
    parallel.data_parallel,
    parallel.pipeline_parallel,
    expert_parallel,
    capacity.context,
    capacity.sequences,
    capacity.batched_tokens,
    capacity.utilization,
    artifact.parsers,
    speed.speculation,
    devices,
    offline,
)
CHECKS: tuple[Check, ...] = (check_method, common.check_remote_code, checks.check_nodes)
