"""Plans for GPUs of NVIDIA: environment, words, and memory as vLLM's log had it on an H200."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.checkpoint.architecture import read_architecture
from registry.config import load
from serving.engines import open_engine
from serving.facts import ArtifactFacts
from serving.fit import GIB
from serving.hardware import Hardware, parse_hardware
from serving.nearest import nearest
from serving.plan import Plan
from serving.resolver import compose_plan
from serving.wishes import Wishes

# Shapes, and GiB of weights, KV cache and overhead from vLLM 0.25.1's log on one H200 (commit
# f2d5bd7 of qreg, 64 sequences, 4,096 tokens a step, utilization 0.9).
_DENSE = {
    "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "dtype": "bfloat16",
    "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "num_hidden_layers": 36,
    "max_position_embeddings": 40960,
}  # fmt: skip
_MOE = {
    **_DENSE, "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": 2048, "intermediate_size": 6144, "num_key_value_heads": 4,
    "num_hidden_layers": 12, "num_experts": 128, "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
}  # fmt: skip
MEASURED = {
    "8B INT8": (_DENSE, 8.79, 115.57, 1.46),
    "8B FP8": (_DENSE, 8.79, 116.46, 0.57),
    "30B-A3B, 12 layers": (_MOE, 8.14, 116.73, 0.95),
}


def facts_of(config: dict[str, Any], weights: float, method: str = "none") -> ArtifactFacts:
    return ArtifactFacts(
        "org/m", "sha256:0", "/srv/m", read_architecture(config), method, {},
        int(weights * GIB), True, config=config,
    )  # fmt: skip


def one(name: str, devices: str = "0") -> Hardware:
    """One GPU, or several, as a machine has them: with no numbers of their own."""
    return replace(parse_hardware(name, devices=devices), numbers=())


def plan(facts: ArtifactFacts, hardware: Hardware, *words: str) -> Plan:
    return compose_plan(facts, Wishes(arguments=words), open_engine("vllm"), hardware)


@pytest.mark.parametrize("name", MEASURED)
def test_memory_is_planned_as_it_was_measured(name: str) -> None:
    config, weights, cache, overhead = MEASURED[name]
    made = plan(facts_of(config, weights), one("cuda:H200"))
    assert (made.value("--max-num-seqs"), made.value("--max-num-batched-tokens")) == ("64", "4096")
    assert made.memory.kv_cache / GIB == pytest.approx(cache, rel=0.03)
    assert overhead * 1.2 * GIB <= made.memory.overhead < 2 * GIB


def test_a_card_of_24_gb_takes_what_fits_it() -> None:
    """14.5 GiB of weights and 4.5 for a context of 32,768: 4 GiB of overhead refused that."""
    words = ("--max-model-len", "32768")
    assert plan(facts_of(_DENSE, 14.5), one("cuda:RTX4090"), *words).fits
    assert not plan(facts_of(_DENSE, 17.0), one("cuda:RTX4090"), *words).fits


def test_overhead_grows_with_the_step_and_is_not_small_where_nothing_was_measured() -> None:
    usual = plan(facts_of(_DENSE, 8.79), one("cuda:H200")).memory.overhead
    long = plan(facts_of(_DENSE, 8.79), one("cuda:H200"), "--max-num-batched-tokens", "65536")
    assert long.memory.overhead > usual + 10 * GIB
    seeing = facts_of({**_DENSE, "vision_config": {"depth": 2}}, 8.79)
    seeing = replace(seeing, architecture=replace(seeing.architecture, vision=True))
    assert plan(seeing, one("cuda:H200")).memory.overhead == 4 * GIB
    two = plan(facts_of(_DENSE, 8.79), one("cuda:H200", "0,1"), "-tp", "2").memory.overhead
    assert two > usual


def test_the_environment_is_closed_and_names_the_gpus_that_were_chosen() -> None:
    made = plan(facts_of(_DENSE, 8.79), parse_hardware("cuda:H200", devices="2,3"))
    assert made.env == {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "CUDA_VISIBLE_DEVICES": "2,3",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    assert "CUDA_VISIBLE_DEVICES" not in plan(facts_of(_DENSE, 8.79), one("cuda:H200")).env


@pytest.mark.parametrize("config", [_DENSE, _MOE])
@pytest.mark.parametrize("weights", [8.0, 90.0, 2000.0])
def test_nothing_is_said_of_npus(config: dict[str, Any], weights: float) -> None:
    made = plan(facts_of(config, weights), parse_hardware("cuda:H100"))
    assert not re.search("NPU|HCCL|Ascend|CANN", json.dumps(made.to_json()))


def test_one_device_is_not_explained_by_ranks_that_are_not_there() -> None:
    single = plan(facts_of(_DENSE, 8.79), one("cuda:H200")).flag("--tensor-parallel-size")
    assert single is not None and single.value == "1"
    assert single.reason == "one device holds weights and context"
    many = plan(facts_of(_DENSE, 16.0), parse_hardware("cuda:H200"))
    flag = many.flag("--tensor-parallel-size")
    assert flag is not None and flag.value == "2"
    assert flag.reason == "more ranks would cost more in all-reduce than they save in weight reads"
    both = plan(facts_of(_DENSE, 16.0), one("cuda:H200", "0,1")).flag("--tensor-parallel-size")
    assert both is not None and both.reason.startswith("2 ranks, as many as can be")


def test_a_share_that_is_too_small_is_told_before_more_machines(tmp_path: Path) -> None:
    facts, hardware = facts_of(_DENSE, 8.79), one("cuda:H200")
    wishes = Wishes(arguments=("--gpu-memory-utilization", "0.07"))
    engine = open_engine("vllm")
    made = compose_plan(facts, wishes, engine, hardware)
    told = nearest(made, facts, wishes, engine, hardware, None, load({"HOME": str(tmp_path)}))
    fix = told.errors[0].fix
    assert "-- --gpu-memory-utilization 0.9" in fix and "the 0.07 that you gave" in fix
    assert "--nodes" not in fix
