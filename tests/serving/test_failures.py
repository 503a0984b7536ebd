"""Failures that users of vLLM Ascend reported, and what a plan says of each before the launch.

Numbers are issues of vllm-project/vllm-ascend. What lint says of broken artifacts is tested there.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.serving.twins import changed, facts_of, plan, said


def test_883_without_the_flag_answers_are_garbage() -> None:
    made = plan(facts_of("Qwen3-32B", "W8A8"), "A2")
    flag = made.flag("--quantization")
    assert flag and flag.value == "ascend" and "#883" in flag.evidence
    assert plan(facts_of("Qwen3-32B", "FLOAT"), "A2").flag("--quantization") is None


def test_1997_a_left_over_fp8_section_is_overridden() -> None:
    left_over = {"quantization_config": {"quant_method": "fp8", "fmt": "e4m3"}}
    facts = changed("Qwen3-8B", "W8A8", left_over)
    made = plan(facts, "A2")
    assert json.loads(made.value("--hf-overrides") or "")["quantization_config"] is None
    assert plan(facts_of("Qwen3-8B", "W8A8"), "A2").flag("--hf-overrides") is None


def test_12675_raw_fp8_weights_do_not_run_on_a2_and_a3() -> None:
    facts = facts_of("DeepSeek-R1", "FP8")
    for chip in ("A2", "A3"):
        assert "FP8" in said(plan(facts, chip, nodes=4))["method"]


def test_11019_compressed_tensors_with_q_ascend() -> None:
    facts = facts_of("Qwen3-32B", "INT8")
    assert plan(facts, "A2").flag("--quantization") is None
    assert "#11019" in said(plan(facts, "A2", "-q", "ascend"))["conflict"]


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes"])
def test_6484_methods_that_npus_cannot_run(method: str) -> None:
    facts = replace(facts_of("Qwen3-8B", "FLOAT"), method=method)
    message = said(plan(facts, "A2"))["method"]
    assert method in message and "qreg quantize" in message


def test_5794_drafting_without_mtp_weights() -> None:
    facts = facts_of("DeepSeek-R1", "W8A8", mtp=False)
    assert plan(facts, "A3").flag("--speculative-config") is None
    wish = ("--speculative-config", '{"method": "deepseek_mtp", "num_speculative_tokens": 1}')
    assert "#5794" in said(plan(facts, "A3", *wish))["conflict"]
    assert "conflict" not in said(plan(facts_of("DeepSeek-R1", "W8A8"), "A3", *wish))


def test_7076_four_bit_linear_layers_have_no_kernel() -> None:
    facts = replace(facts_of("Qwen3-8B", "W8A8"), schemes={"attention": {"W4A16": 144}})
    made = plan(facts, "A2")
    assert not made.fits and "W4A16 linear" in said(made)["scheme"]
    assert plan(facts_of("Kimi-K2-Instruct", "W4A16"), "A3").fits  # experts have one


def test_static_w8a8_experts_have_no_kernel() -> None:
    facts = facts_of("Qwen3-235B-A22B", "W8A8")
    static = replace(facts, schemes={**facts.schemes, "moe": {"W8A8": 36096}})
    assert "no kernel for W8A8 routed experts" in said(plan(static, "A3"))["scheme"]


@pytest.mark.parametrize(
    ("group", "severity"), [(64, ""), (128, ""), (256, "warning"), (32, "error")]
)
def test_5603_groups_of_w4a8(group: int, severity: str) -> None:
    facts = replace(facts_of("Kimi-K2.5", "W4A8"), group_size=group)
    found = [f.severity for f in plan(facts, "A3").findings if f.id == "group-size"]
    assert found == ([severity] if severity else [])


def test_12907_float16_breaks_w8a8() -> None:
    facts = facts_of("Qwen3-32B", "W8A8")
    assert "#12907" in said(plan(facts, "A2", "--dtype", "float16"))["dtype"]
    half = changed("Qwen3-8B", "W8A8", {"torch_dtype": "float16"})
    assert plan(half, "A2").value("--dtype") == "bfloat16"
    assert plan(half, "310P").value("--dtype") == "float16"
    assert "bfloat16" in said(plan(half, "310P", "--dtype", "bfloat16"))["dtype"]


def test_11368_a_layout_for_one_size_only() -> None:
    facts = facts_of("Qwen3-8B", "W8A8SC", ranks=1)
    made = plan(facts, "310P")
    assert made.fits and made.value("--load-format") == "sharded_state"
    assert made.value("--tensor-parallel-size") == "1"
    assert "1 tensor parallel" in said(plan(facts, "310P", "-tp", "2"))["layout-bound"]


@pytest.mark.parametrize("ranks", ["3", "5", "7"])
def test_761_sizes_that_do_not_divide_heads(ranks: str) -> None:
    message = said(plan(facts_of("Qwen3-32B", "W8A8"), "A2", "-tp", ranks))["divisibility"]
    assert f"64 attention heads cannot be shared by {ranks}" in message
    assert "1, 2, 4, 8, 16" in message


def test_8817_out_of_memory_is_said_before() -> None:
    made = plan(facts_of("DeepSeek-R1", "W8A8"), "A2", "-tp", "8", "-dp", "1")
    assert "GiB are missing" in said(made)["memory"]
    assert made.memory.free < 0


def test_2674_the_buffer_is_as_large_as_decoding_needs() -> None:
    sizes = ("-tp", "1", "-dp", "32", "--max-num-seqs", "128")
    made = plan(facts_of("Qwen3-235B-A22B", "W8A8"), "A3", *sizes, role="decode", nodes=2)
    flag = made.flag("HCCL_BUFFSIZE")
    assert flag and int(flag.value or 0) > 200 and "#2674" in flag.evidence


def test_9596_few_sizes_are_captured() -> None:
    made = plan(facts_of("Qwen3-32B", "W8A8"), "A2", goal="throughput")
    settings = json.loads(made.value("--compilation-config") or "")
    assert settings["cudagraph_mode"] == "FULL_DECODE_ONLY"
    assert 0 < len(settings["cudagraph_capture_sizes"]) <= 8


def test_experts_flag_on_a_dense_model_stops_the_engine() -> None:
    made = plan(facts_of("Qwen3-32B", "W8A8"), "A2", "--enable-expert-parallel")
    assert not made.fits and "no experts" in said(made)["conflict"]
    assert plan(facts_of("Qwen3-235B-A22B", "W8A8"), "A3").flag("--enable-expert-parallel")


def test_keys_and_variables_that_nothing_reads() -> None:
    config = '{"ascend_scheduler_config": {"enabled": true}}'
    wishes = {"environment": {"VLLM_USE_V1": "1"}}
    found = said(plan(facts_of("Qwen3-8B", "W8A8"), "A2", "--additional-config", config, **wishes))
    assert "ascend_scheduler_config" in found["ignored-key"]
    assert "VLLM_USE_V1" in found["ignored-variable"]


def test_a_context_beyond_the_model() -> None:
    facts = facts_of("DeepSeek-R1", "W8A8")
    message = said(plan(facts, "A3", "--max-model-len", "200000"))["context"]
    assert "163,840" in message and "at most 163840" in message


def test_a_context_that_the_authors_stretch() -> None:
    made = plan(facts_of("Qwen3-32B", "W8A8"), "A2", "--max-model-len", "131072")
    scaling = json.loads(made.value("--hf-overrides") or "")["rope_parameters"]
    assert made.fits and scaling["rope_type"] == "yarn" and scaling["factor"] == 4.0
    assert "context" in said(plan(facts_of("Qwen3-32B", "W8A8"), "A2", "--max-model-len", "200000"))


def test_a_scheme_that_the_chip_lacks() -> None:
    facts = facts_of("Qwen3-8B", "W8A8_MXFP8")
    assert "950 can run it" in said(plan(facts, "A2"))["scheme"]
    assert plan(facts, "950").fits
    assert "ModelSlim" in said(plan(facts_of("Qwen3-8B", "INT8"), "310P"))["method"]


def test_sides_of_a_split_deployment_that_do_not_divide() -> None:
    facts = facts_of("Qwen3-235B-A22B", "W8A8")
    made = plan(facts, "A3", "-tp", "8", role="decode", peer=(4, 4))
    assert not made.fits and "multiple" in said(made)["peer"]
    assert plan(facts, "A3", "-tp", "4", role="decode", peer=(8, 2)).fits
    latent = plan(facts_of("DeepSeek-R1", "W8A8"), "A3", "-tp", "8", role="decode", peer=(4, 4))
    assert latent.fits  # MLA's vector is on every rank


def test_more_devices_than_there_are() -> None:
    made = plan(facts_of("Qwen3-32B", "W8A8"), "A2", "-tp", "16")
    assert "--nodes 2" in said(made)["devices"]
