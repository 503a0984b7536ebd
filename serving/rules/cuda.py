"""Rules for vLLM on CUDA GPUs: those of the model and its spread, without what is Ascend's own."""

from __future__ import annotations

from collections.abc import Iterator

from registry.finding import ERROR, Finding
from serving.rules import common
from serving.rules.ascend import artifact, capacity, checks, parallel, speed
from serving.rules.situation import Check, Rule, Situation


def check_method(s: Situation) -> Iterator[Finding]:
    if s.facts.is_modelslim:
        yield Finding(
            "method",
            ERROR,
            "vLLM on GPUs cannot read ModelSlim's artifacts",
            "Convert W8A8_DYNAMIC ones with qreg convert --format compressed-tensors , or serve it "
            "on NPUs.",
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
    parallel.expert_parallel,
    capacity.context,
    capacity.sequences,
    capacity.batched_tokens,
    capacity.utilization,
    artifact.parsers,
    speed.speculation,
)
CHECKS: tuple[Check, ...] = (check_method, common.check_remote_code, checks.check_nodes)
