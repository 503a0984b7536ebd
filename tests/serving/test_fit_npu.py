"""Weights, KV cache and layouts on NPUs, against what deployments measured."""

from __future__ import annotations

import json

import pytest

from serving.fit import GIB, Layout
from serving.fit.cache import cache_of
from serving.fit.communication import hccl_buffer
from serving.fit.usual import OVERHEAD
from serving.fit.weights import weights_per_device
from serving.wishes import CONTEXT, LATENCY, THROUGHPUT
from tests.serving.twins import facts_of, plan, said
from tests.twins import SCHEMES
from tests.twins.outline import outline_twin

KIB = 1024
ONE = Layout()


def _per_token(model: str, layout: Layout = ONE, *, drafting: bool = False) -> float:
    facts = facts_of(model, "FLOAT")
    cache = cache_of(facts.architecture, facts.text_config, layout, drafting=drafting)
    assert cache is not None
    return cache.per_token


@pytest.mark.parametrize(
    ("model", "kib"),
    [
        ("DeepSeek-R1", 68.6),
        ("Kimi-K2-Instruct", 68.6),
        ("DeepSeek-V3.2", 83.9),
        ("GLM-5", 107.2),
    ],
)
def test_latent_attention_takes_as_much_as_was_measured(model: str, kib: float) -> None:
    assert _per_token(model) / KIB == pytest.approx(kib, abs=0.06)
    assert _per_token(model, Layout(tensor=8)) == _per_token(model)  # every rank has all of it
    assert _per_token(model, Layout(tensor=8, context=8)) == _per_token(model) / 8


def test_grouped_heads_are_shared_until_there_is_one_on_each_rank() -> None:
    whole = 2 * 8 * 128 * 2 * 40
    assert _per_token("Qwen3-14B") == whole
    assert _per_token("Qwen3-14B", Layout(tensor=4)) == whole / 4
    assert _per_token("Qwen3-14B", Layout(tensor=16)) == whole / 8


def test_linear_attention_keeps_a_state_and_no_tokens() -> None:
    facts = facts_of("Qwen3.5-27B", "FLOAT")
    cache = cache_of(facts.architecture, facts.text_config, Layout())
    assert cache is not None
    assert cache.per_token == 16 * 2 * 4 * 256 * 2  # a quarter of 64 layers
    recurrent, convolution = 48 * 128 * 128 * 4, (2 * 16 * 128 + 48 * 128) * 3 * 2
    assert cache.per_sequence == 48 * (recurrent + convolution)


def test_compressed_attention_stores_few_tokens() -> None:
    facts = facts_of("DeepSeek-V4-Flash", "FLOAT")
    cache = cache_of(facts.architecture, facts.text_config, Layout())
    assert cache is not None
    vector, index = 512 * 2, 128 * 2
    assert cache.per_token == 21 * (vector + index) / 4 + 20 * vector / 128
    assert cache.per_sequence == 43 * vector * 128
    drafting = cache_of(facts.architecture, facts.text_config, Layout(), drafting=True)
    assert drafting is not None and drafting.per_token == cache.per_token
    assert drafting.per_sequence == 44 * vector * 128


def test_a_sparse_draft_layer_has_an_indexer_as_well() -> None:
    assert _per_token("GLM-5", drafting=True) == pytest.approx(_per_token("GLM-5") * 79 / 78)


def _weights(model: str, scheme: str, layout: Layout, *, drafting: bool = False) -> float:
    facts = facts_of(model, scheme)
    parts = weights_per_device(facts.kinds, facts.architecture, layout, drafting=drafting)
    return sum(parts.values())


def test_a_dense_model_takes_what_was_measured() -> None:
    """Qwen3-14B in BF16: 27.54 GB by the engine's log, which counts in 2^30 bytes."""
    assert _weights("Qwen3-14B", "FLOAT", Layout()) / GIB == pytest.approx(27.54, rel=0.005)


_QWEN3_NEXT = {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "hidden_size": 2048,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "attn_output_gate": True,
    "vocab_size": 151936,
    "max_position_embeddings": 262144,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"]
    * 12,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def test_a_hybrid_of_experts_takes_what_was_measured() -> None:
    """Qwen3-Next-80B-A3B in BF16 with TP 4: 37.24 GB by the engine's log."""
    outline, _ = outline_twin(_QWEN3_NEXT, SCHEMES["FLOAT"])
    parts = weights_per_device(outline.kinds, outline.architecture, Layout(4), drafting=False)
    assert sum(parts.values()) / GIB == pytest.approx(37.24, rel=0.01)


def test_experts_are_spread_over_all_ranks_and_mla_is_copied() -> None:
    facts = facts_of("DeepSeek-R1", "W8A8")
    parts = weights_per_device(
        facts.kinds, facts.architecture, Layout(8, 2, experts=True), drafting=False
    )
    whole = weights_per_device(facts.kinds, facts.architecture, Layout(), drafting=False)
    assert parts["experts"] == pytest.approx(whole["experts"] / 16, rel=1e-6)
    assert parts["router"] == whole["router"]
    assert parts["attention"] > whole["attention"] / 8
    assert "mtp" not in parts


def test_drafting_shares_embedding_and_head_with_the_model() -> None:
    layout = Layout(1, 32, experts=True)
    more = _weights("DeepSeek-R1", "W8A8", layout, drafting=True)
    more -= _weights("DeepSeek-R1", "W8A8", layout)
    assert 0 < more / GIB < 1.0  # a layer with its 8 experts a rank, not 3.5 GiB of copies


@pytest.mark.parametrize(
    ("model", "scheme", "chip", "nodes", "layout", "length"),
    [
        ("DeepSeek-R1", "W8A8", "A3", 1, (8, 2), 40960),
        ("DeepSeek-V3.2", "W8A8", "A3", 2, (8, 4), 90000),
        ("GLM-5", "W8A8", "A2", 2, (8, 2), 38000),
        ("Kimi-K2-Instruct", "W4A16", "A3", 1, (16, 1), 8192),
        ("Qwen3-235B-A22B", "FLOAT", "A2", 2, (8, 2), 40960),
        ("Qwen3.5-27B", "W8A8", "300I-Duo-96G", 1, (2, 1), 20480),
    ],
)
def test_what_is_deployed_fits(
    model: str, scheme: str, chip: str, nodes: int, layout: tuple[int, int], length: int
) -> None:
    tensor, data = layout
    sizes = ("-tp", str(tensor), "-dp", str(data), "--max-model-len", str(length))
    made = plan(facts_of(model, scheme), chip, *sizes, nodes=nodes)
    assert made.fits, said(made)
    memory = made.memory
    share = float(made.value("--gpu-memory-utilization") or 0)
    assert memory.overhead >= OVERHEAD
    used = memory.weights + memory.kv_cache + memory.overhead
    assert used <= share * memory.capacity + 1


@pytest.mark.parametrize(
    ("model", "scheme", "chip"),
    [
        ("DeepSeek-R1", "W8A8", "A2"),
        ("Kimi-K2-Instruct", "W8A8", "A3"),
        ("Qwen3-235B-A22B", "FLOAT", "A2"),
    ],
)
def test_what_is_too_large_says_how_much_is_missing(model: str, scheme: str, chip: str) -> None:
    made = plan(facts_of(model, scheme), chip)
    assert not made.fits
    assert "GiB are missing" in said(made)["memory"]


def test_310p_has_room_for_half_the_cache_and_a_mask() -> None:
    facts = facts_of("Qwen3.5-27B", "W8A8", mtp=False)
    usual = plan(facts, "300I-Duo-96G", "-tp", "2")
    assert usual.value("--max-model-len") == "16384"
    longest = plan(facts, "300I-Duo-96G", "-tp", "2", goal=CONTEXT)
    length = int(longest.value("--max-model-len") or 0)
    assert 20480 < length < 100_000  # all 262,144 would need a mask of 256 GiB
    assert longest.memory.overhead - OVERHEAD == 4 * length**2
    cache = cache_of(facts.architecture, facts.text_config, Layout(2))
    assert cache is not None and 2 * cache.bytes(length) <= longest.memory.kv_cache
    assert "memory" in said(plan(facts, "300I-Duo-96G", "-tp", "2", "--max-model-len", "262144"))


def test_a_given_buffer_counts_twice() -> None:
    facts = facts_of("DeepSeek-R1", "W8A8")
    made = plan(facts, "A3", "-tp", "8", "-dp", "2", environment={"HCCL_BUFFSIZE": "1024"})
    assert made.memory.overhead == OVERHEAD + 2 * 1024 * 2**20


def test_the_buffer_grows_with_what_is_decoded() -> None:
    a = facts_of("DeepSeek-R1", "W8A8").architecture
    layout = Layout(1, 16, experts=True)
    few, many = hccl_buffer(a, layout, 4, 0), hccl_buffer(a, layout, 128, 0)
    assert few < many
    assert hccl_buffer(a, Layout(), 512, 0) == 200


def test_ranks_of_prompts_share_experts_and_cache() -> None:
    layout = Layout(8, experts=True, prefill=2)
    assert layout.devices == layout.expert_ranks == 16
    assert _per_token("DeepSeek-R1", layout) == _per_token("DeepSeek-R1") / 2
    made = plan(facts_of("DeepSeek-R1", "W8A8"), "A3", "-tp", "8", "-pcp", "2")
    assert made.fits, said(made)


@pytest.mark.parametrize("model", ["DeepSeek-R1", "Qwen3-235B-A22B", "Qwen3-32B"])
def test_goals_differ(model: str) -> None:
    facts = facts_of(model, "W8A8")
    plans = {goal: plan(facts, "A3", goal=goal) for goal in (LATENCY, THROUGHPUT, CONTEXT)}
    assert all(made.fits for made in plans.values())

    def served(goal: str) -> int:
        made = plans[goal]
        return int(made.value("--max-num-seqs") or 0) * made.parallel["data"]

    def length(goal: str) -> int:
        return int(plans[goal].value("--max-model-len") or 0)

    assert served(THROUGHPUT) >= served(LATENCY)
    assert length(CONTEXT) >= max(length(LATENCY), length(THROUGHPUT))


def test_roles() -> None:
    facts = facts_of("DeepSeek-R1", "W8A8")
    prefill = plan(facts, "A3", role="prefill", peer=(1, 32))
    decode = plan(facts, "A3", "-tp", "1", "-dp", "32", role="decode", nodes=2, peer=(8, 2))
    assert prefill.flag("--enforce-eager") and not decode.flag("--enforce-eager")
    sizes = json.loads(decode.value("--kv-transfer-config") or "")["kv_connector_extra_config"]
    assert sizes["prefill"] == {"dp_size": 2, "tp_size": 8}
    assert sizes["decode"] == {"dp_size": 32, "tp_size": 1}
    assert "recompute_scheduler_enable" in (decode.value("--additional-config") or "")
    assert "recompute_scheduler_enable" not in (prefill.value("--additional-config") or "")
