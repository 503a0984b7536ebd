"""The real parser, configuration and platform check take what is right and refuse what is wrong.

This proves that the oracle can tell the two apart; what it says of plans is tested elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.releases import latest
from tests.contract.folders import write_folder
from tests.contract.oracle import Case, Verdict, Worker, check

pytestmark = pytest.mark.e2e

_DENSE = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 4096,
    "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
    "max_position_embeddings": 40960, "torch_dtype": "bfloat16", "rms_norm_eps": 1e-6,
    "hidden_act": "silu", "rope_theta": 1000000, "tie_word_embeddings": False,
}  # fmt: skip
_EXPERTS = {
    **_DENSE, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
    "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 1536,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True,
}  # fmt: skip
_INT8 = {
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"},
                "input_activations": {
                    "num_bits": 8, "type": "int", "symmetric": True, "strategy": "token",
                    "dynamic": True,
                },
            }
        },
    }
}  # fmt: skip
_DESCRIPTION = {"version": "1.0.0", "model_quant_type": "W8A8_DYNAMIC"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of JSON: dense and with experts, from ModelSlim and from LLM-Compressor."""
    root = tmp_path_factory.mktemp("folders")
    found = {}
    configs: dict[str, dict[str, Any]] = {"dense": _DENSE, "experts": _EXPERTS}
    for name, config in configs.items():
        write_folder(root / f"{name}-slim", config, _DESCRIPTION)
        write_folder(root / f"{name}-int8", {**config, **_INT8})
        found |= {f"{name}-{method}": str(root / f"{name}-{method}") for method in ("slim", "int8")}
    return found


@pytest.fixture(scope="module")
def a3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One worker for all cases on A3."""
    with Worker("A3", tmp_path_factory.mktemp("log") / "worker.log") as worker:
        yield worker


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("dense-slim", "-q ascend -tp 4 --max-model-len 32768"),
        ("dense-int8", "--tensor-parallel-size 2 --served-model-name org/name"),
        ("experts-slim", "-q ascend -tp 8 -dp 2 --enable-expert-parallel --reasoning-parser qwen3"),
        ("experts-int8", "-tp 4 --enable-expert-parallel"),
        ("experts-slim", "-q ascend -tp 4 --enable-expert-parallel --additional-config {}"),
    ],
)
def test_what_is_right_is_taken(a3: Worker, folders: dict[str, str], name: str, argv: str) -> None:
    assert a3.check(Case(folders[name], tuple(argv.split()), device="A3")) == Verdict(True)


@pytest.mark.parametrize(
    "parser", ["qwen3", "glm45", "kimi_k2", "deepseek_v3", "deepseek_v4", "minimax_m2", "hy_v3"]
)
def test_parsers_of_reasoning_find_their_tokens(
    a3: Worker, folders: dict[str, str], parser: str
) -> None:
    argv = ("-q", "ascend", "-tp", "4", "--reasoning-parser", parser)
    assert a3.check(Case(folders["dense-slim"], argv, device="A3")) == Verdict(True)


@pytest.mark.parametrize(
    ("name", "argv", "stage", "words"),
    [
        ("dense-slim", "-q ascend --no-such-flag", "parser", "no-such-flag"),
        ("dense-slim", "-q ascend -tp two", "parser", "invalid"),
        ("dense-slim", "-q ascend --enable-auto-tool-choice", "parser", "tool-call-parser"),
        ("dense-slim", "-q ascend -tp 3", "engine_config", "divisible"),
        ("dense-slim", "-q ascend --max-model-len 1000000", "engine_config", "max_model_len"),
        ("dense-slim", "-q no-such-method", "engine_config", "no-such-method"),
        ("dense-slim", "-q ascend -tp 2 --enable-expert-parallel", "engine_config", "expert"),
        ("dense-int8", "-q ascend", "engine_config", "compressed-tensors"),
        (
            "dense-slim",
            "-q ascend --max-num-seqs 64 --max-num-batched-tokens 32",
            "engine_config",
            "max_num_seqs",
        ),
    ],
)
def test_what_is_wrong_is_refused_where_and_why(
    a3: Worker, folders: dict[str, str], name: str, argv: str, stage: str, words: str
) -> None:
    verdict = a3.check(Case(folders[name], tuple(argv.split()), device="A3"))
    assert not verdict.ok and verdict.stage == stage, verdict
    assert words in verdict.error


def test_the_platform_refuses_what_only_it_knows(a3: Worker, folders: dict[str, str]) -> None:
    config = {"profiling_chunk_config": {"enabled": True}}
    argv = ("-q", "ascend", "--additional-config", json.dumps(config))
    verdict = a3.check(Case(folders["dense-slim"], argv, device="A3"))
    assert (verdict.ok, verdict.stage) == (False, "platform") and "pipeline" in verdict.error


def test_cases_do_not_leave_traces(a3: Worker, folders: dict[str, str]) -> None:
    """Each case has its own variables and its own state."""
    argv = ("-q", "ascend", "-tp", "2")
    broken = Case(folders["dense-slim"], argv, {"VLLM_ASCEND_ENABLE_NZ": "many"}, "A3")
    assert not a3.check(broken).ok
    assert a3.check(Case(folders["dense-slim"], argv, device="A3")).ok


def test_310p_has_its_own_reader_of_artifacts(folders: dict[str, str]) -> None:
    argv = ("-q", "ascend", "--dtype", "float16", "--max-model-len", "8192")
    cases = [Case(folders["dense-slim"], argv, device=device) for device in ("310P", "A2")]
    assert check(cases) == [Verdict(True), Verdict(True)]
    with pytest.raises(ValueError, match="910A"):
        check([Case(folders["dense-slim"], argv, device="910A")])


def test_the_release_table_describes_the_real_parser(a3: Worker) -> None:
    """The table is read from sources; here stands what the code really adds."""
    real, table = a3.options(), latest().options
    assert set(real) == set(table)
    for name, option in table.items():
        row = real[name]
        negations = {f"--no-{option.name[2:]}"} if option.negatable else set()
        assert set(row["names"]) == {name, *option.aliases, *negations}, name
        nargs = row["nargs"]
        takes = "switch" if nargs == 0 else {"?": "optional", None: "one"}.get(nargs, "many")
        assert takes == option.takes, (name, nargs)
        if name == "--collect-detailed-traces":
            continue  # its choices are all ways to join three names
        choices = sorted(map(str, row["choices"] or ()))
        assert choices == sorted(map(str, option.choices)), name


def test_a_log_keeps_what_the_libraries_said(folders: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    (verdict,) = check([Case(folders["dense-slim"], ("--nope",), device="A2")], log=log)
    assert not verdict.ok and "Refused" in log.read_text()
