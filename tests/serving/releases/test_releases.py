"""The tables of releases: what they say, and that they say what the packages do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from registry.errors import NotFoundError
from registry.lint import target
from serving.releases import known, latest, nearest_release, open_release, pairing_faults
from serving.releases.release import DATA


def test_releases_are_found_by_any_spelling_of_their_number() -> None:
    assert known() == ("0.11.0", "0.13.0", "0.18.0", "0.23.0")
    assert latest().number == "0.23.0" and latest().package == "0.23.0.post1"
    for spelling in ("0.23.0", "v0.23.0", "0.23.0.post1", "0.18.0.post1+git4c901a4"):
        assert open_release(spelling).number == spelling.removeprefix("v")[:6]


def test_a_release_without_a_table_is_refused_or_replaced_aloud() -> None:
    with pytest.raises(NotFoundError) as refused:
        open_release("0.19.1")
    assert "0.18.0" in refused.value.remedy
    release, (finding,) = nearest_release("0.20.2rc1")
    assert release.number == "0.18.0" and "0.20.2rc1" in finding.message
    assert nearest_release("0.7.3")[0].number == "0.11.0"
    assert nearest_release("0.31.0")[0].number == "0.23.0"
    assert nearest_release("0.13.0")[1] == ()


def test_the_linter_s_chips_are_the_release_s() -> None:
    """`registry` cannot import the tables, so its copy of one release is held against them."""
    release = open_release(target.RELEASE)
    for name, chip in target.CHIPS.items():
        assert release.schemes("linear", name) == chip.linear, name
        assert release.schemes("moe", name) == chip.moe, name
        assert release.schemes("attention", name) == chip.attention, name
        assert ("compressed-tensors" in release.methods(name)) == (
            "compressed-tensors" in chip.methods
        )
        assert ("fp8" in release.methods(name)) == ("fp8" in chip.methods)
    linear = release.schemes("linear", "950", "compressed-tensors")
    moe = release.schemes("moe", "950", "compressed-tensors")
    assert linear == target.COMPRESSED_TENSORS_LINEAR and moe == target.COMPRESSED_TENSORS_MOE
    packed = {name for name, modules in release.packed.items() if "experts" in modules}
    # Drafts of MTP layers are loaded with their target and never stand in an artifact's config.
    drafts = {name for name in packed if name.endswith("_mtp")}
    # kimi_k25 is kimi_k2 with eyes, and loads as such.
    assert (packed - drafts) | {"kimi_k25"} == target.PACKED_MOE_TYPES


def test_schemes_come_and_go_with_releases() -> None:
    old, new = open_release("0.11.0"), latest()
    assert "W8A8" in old.schemes("moe", "A2") and "W8A8" not in new.schemes("moe", "A2")
    assert not old.schemes("linear", "A3", "compressed-tensors")
    assert "W8A8_DYNAMIC" in new.schemes("linear", "A3", "compressed-tensors")
    assert new.devices_with("linear", "W8A8_MXFP8") == ("950",)
    assert new.devices_with("linear", "W8A8SC") == ("310P",)
    assert new.devices_with("linear", "W4A16") == ()
    assert new.scheme_source("moe", "W4A8_DYNAMIC", "A3").endswith("methods/w4a8.py")


@pytest.mark.parametrize(
    "word",
    [
        "--max-model-len", "--max_model_len", "-tp", "--tensor-parallel-size=8", "-q", "-O3",
        "--no-enable-prefix-caching", "--compilation-config.cudagraph_mode", "--host", "--headless",
        "--enable-log-requests", "--tool-call-parser", "-dp",
    ],
)  # fmt: skip
def test_flags_that_the_newest_release_knows(word: str) -> None:
    assert latest().knows_flag(word)


@pytest.mark.parametrize(
    "word",
    ["--task", "--max-model", "--no-max-model-len", "--no-headless", "--block-size.x", "-z", "--"],
)
def test_flags_that_the_newest_release_does_not_know(word: str) -> None:
    assert not latest().knows_flag(word)


def test_a_flag_says_what_it_takes() -> None:
    release = latest()
    takes = {"--enforce-eager": "switch", "--hf-token": "optional", "--api-key": "many"}
    for name, expected in takes.items():
        option = release.option(name)
        assert option is not None and option.takes == expected
    tensor_parallel = release.option("-tp")
    assert tensor_parallel is not None and tensor_parallel.type == "int"
    assert tensor_parallel.name == "--tensor-parallel-size"
    dtype = release.option("--mamba-ssm-cache-dtype")
    assert dtype is not None and "float16" in dtype.choices
    assert open_release("0.11.0").knows_flag("--task")


def test_keys_that_do_nothing_are_named() -> None:
    """Of public launch records every seventh has such a key."""
    config = {
        "ascend_scheduler_config": {"enabled": True},
        "enable_weight_nz_layout": True,
        "fuse_muls_add": True,
        "ascend_compilation_config": {"enable_npu_graph_ex": True, "fuse_muls_add": True},
        "weight_prefetch_config": {"enabled": True, "prefetch_ratio": {"attn": {"qkv": 1.0}}},
        "eplb_config": {"dynamic_eplb": True},
    }
    assert latest().unread_keys(config) == (
        "ascend_scheduler_config",
        "enable_weight_nz_layout",
        "fuse_muls_add",
        "ascend_compilation_config.enable_npu_graph_ex",
    )
    # 0.11.0 makes an attribute of whatever stands there.
    assert open_release("0.11.0").unread_keys({"ascend_scheduler_config": {"any": 1}}) == ()
    nz = latest().additional_config["weight_nz_mode"]
    assert nz.environment == "VLLM_ASCEND_ENABLE_NZ"


def test_variables_that_do_nothing_are_named() -> None:
    release = latest()
    assert release.ignores_variable("VLLM_USE_V1")
    assert not open_release("0.11.0").ignores_variable("VLLM_USE_V1")
    assert not release.ignores_variable("VLLM_ASCEND_ENABLE_MLAPO")
    # Whether CANN reads one of its own, no table can say.
    assert not release.ignores_variable("HCCL_NOBODY_KNOWS")
    assert "vllm-ascend" in release.environment["HCCL_OP_EXPANSION_MODE"].readers


def test_names_that_families_need() -> None:
    release = latest()
    assert {"deepseek_v4", "glm45", "qwen3", "kimi_k2", "hy_v3"} <= release.parsers.reasoning
    assert {"deepseek_v4", "glm47", "minimax_m2", "kimi_k2"} <= release.parsers.tool
    assert {"deepseek_v32", "deepseek_v4"} <= release.tokenizer_modes
    assert "sharded_state" in release.load_formats and "ascend" in release.quantization_methods
    assert {"mtp", "deepseek_mtp", "qwen3_5_mtp", "eagle3"} <= release.speculative_methods
    assert "mlp_speculator" not in release.speculative_methods
    old = open_release("0.11.0").speculative_methods
    assert "deepseek_mtp" in old and "mtp" not in old


@pytest.mark.parametrize(
    ("number", "torch", "torch_npu", "cann", "python"),
    [
        ("0.23.0", "2.10.0", "2.10.0.post4", "9.1.0", ">=3.10,<3.13"),
        ("0.18.0", "2.9.0", "2.9.0.post1", "8.5.1", ">=3.10,<3.12"),
        ("0.13.0", "2.8.0", "2.8.0.post2", "8.5.0", ">=3.10,<3.12"),
        ("0.11.0", "2.7.1", "2.7.1.post1", "8.3.RC2", ">=3.9,<3.12"),
    ],
)
def test_pairings(number: str, torch: str, torch_npu: str, cann: str, python: str) -> None:
    pairing = open_release(number).pairing
    wanted = {"vllm": number, "torch": torch, "torch-npu": torch_npu, "cann": cann}
    assert {name: pairing[name].version for name in wanted} == wanted
    assert pairing["python"].version == python


def test_what_does_not_belong_together_is_said() -> None:
    release = latest()
    fine = {"torch": "2.10.0+cpu", "torch_npu": "2.10.0.post4", "cann": "9.1.0", "python": "3.12.4"}
    assert pairing_faults(release, {**fine, "requests": "2"}) == ()
    wrong = {"python": "3.13.1", "torch-npu": "2.9.0.post1", "CANN": "8.5.1", "vllm": "0.24.0"}
    found = pairing_faults(release, wrong)
    assert [(f.where, f.severity) for f in found] == [
        ("torch-npu", "error"), ("CANN", "error"), ("vllm", "error"), ("python", "warning"),
    ]  # fmt: skip
    assert "2.10.0.post4" in found[0].message
    assert pairing_faults(open_release("0.11.0"), {"cann": "8.3.rc2"}) == ()


def test_reading_a_table_imports_nothing_heavy() -> None:
    """How long it takes is measured by `benchmarks.startup`."""
    code = (
        "import sys; from serving.releases import latest; release = latest()\n"
        "release.options, release.additional_config, release.environment\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "serving.releases.release" in modules
    heavy = {"mlflow", "numpy", "requests", "rich", "yaml", "click", "packaging"}
    assert not modules & heavy
    assert not any(name.startswith("serving.releases.generate") for name in modules)


def test_every_entry_says_where_it_was_read() -> None:
    for version in known():
        release = open_release(version)
        assert all(option.source for option in release.options.values())
        assert all(key.source for key in release.additional_config.values())
        assert all(variable.readers for variable in release.environment.values())
        assert all(pair.source for pair in release.pairing.values())


@pytest.mark.e2e
def test_a_table_is_what_the_generator_makes(tmp_path: Path) -> None:
    """Needs the packages: from the network, or from pip's cache."""
    command = [sys.executable, "-m", "serving.releases.generate", "0.23.0", "--into", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "0.23.0.json").read_text())
    assert made == json.loads((DATA / "0.23.0.json").read_text())
