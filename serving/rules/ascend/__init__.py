"""Rules for vLLM Ascend: facts in, flags with reasons out, one small function each."""

from __future__ import annotations

from serving.rules import common
from serving.rules.ascend import (
    artifact,
    capacity,
    checks,
    environment,
    own_flags,
    parallel,
    roles,
    speed,
)
from serving.rules.situation import Check, Rule

RULES: tuple[Rule, ...] = (
    common.served_name,
    common.address,
    artifact.quantization,
    artifact.dtype,
    artifact.load_format,
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
    artifact.block_size,
    artifact.mamba_cache,
    artifact.multimodal,
    artifact.parsers,
    speed.speculation,
    speed.graphs,
    speed.additional_config,
    roles.transfer,
    environment.devices,
    environment.allocator,
    environment.communication,
    environment.threads,
    environment.queue,
    environment.offline,
)
CHECKS: tuple[Check, ...] = (
    checks.check_method,
    checks.check_schemes,
    checks.check_groups,
    checks.check_packed,
    checks.check_float16,
    checks.check_parsers,
    checks.check_remote_code,
    checks.check_nodes,
    checks.check_stages,
    checks.check_pairs,
    *own_flags.CHECKS,
)
