"""Plans: facts in, flags with reasons out."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from registry.checkpoint.sampling import read_outline
from registry.describe import describe_folder
from registry.errors import UsageError
from registry.source import LocalSource
from serving.arguments import override, parse_arguments
from serving.engines.vllm_cpu import VllmCpu
from serving.facts import ArtifactFacts
from serving.fit import CPU_OVERHEAD, GIB, fit_cpu
from serving.generate import llm_arguments
from serving.hardware import Hardware, detect_cpu
from serving.plan import Flag, Plan
from serving.render.shell import render_shell
from serving.resolver import compose_plan
from serving.wishes import Wishes
from tests.checkpoints import CONFIG, write_quantized

MACHINE = Hardware("CPU test", "cpu", 1, 16 * GIB, 4)


@pytest.fixture
def facts(tmp_path: Path) -> ArtifactFacts:
    folder = write_quantized(tmp_path / "m")
    manifest = describe_folder(folder, name="org/m")
    return ArtifactFacts.of_outline(
        read_outline(LocalSource(folder)),
        CONFIG,
        [entry.path for entry in manifest.files],
        name=manifest.name,
        digest=str(manifest.digest),
        folder="/srv/m",
    )


def _plan(facts: ArtifactFacts, wishes: Wishes | None = None) -> Plan:
    return compose_plan(facts, wishes or Wishes(), VllmCpu(), MACHINE, release="0.32.0")


def test_every_flag_has_a_reason_and_a_source(facts: ArtifactFacts) -> None:
    plan = _plan(facts)
    assert plan.fits
    for flag in plan.flags:
        assert len(flag.reason) > 10, flag
        assert flag.source in ("artifact", "hardware", "release", "user", "default")
    assert plan.value("--max-model-len") == "64"
    assert plan.value("--served-model-name") == "org/m"
    assert plan.argv[:3] == ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    assert plan.env["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_the_json_contract(facts: ArtifactFacts) -> None:
    document = json.loads(json.dumps(_plan(facts).to_json()))
    assert set(document) == {
        *("artifact", "digest", "hardware", "release", "engine", "fits", "nodes", "argv", "env"),
        *("flags", "memory", "findings", "digest_of_plan", "parallel", "components"),
        *("kv_tokens", "overhead_source", "proven"),
    }
    assert set(document["memory"]) == {"capacity", "weights", "kv_cache", "overhead", "free"}
    assert document["memory"]["free"] == document["memory"]["capacity"] - sum(
        document["memory"][part] for part in ("weights", "kv_cache", "overhead")
    )
    assert isinstance(document["argv"][0], list)


def test_a_plan_is_pure_and_its_digest_follows_its_content(facts: ArtifactFacts) -> None:
    first, again = _plan(facts).to_json(), _plan(facts).to_json()
    assert first == again
    other = _plan(facts, Wishes(port=8001)).to_json()
    assert other["digest_of_plan"] != first["digest_of_plan"]


def test_the_users_arguments_win_and_are_marked(facts: ArtifactFacts) -> None:
    words = ("--max-model-len", "32", "--seed=7", "--no-enforce-eager")
    plan = _plan(facts, Wishes(arguments=words))
    assert plan.value("--max-model-len") == "32"
    assert plan.value("--seed") == "7"
    assert "--enforce-eager" not in plan.argv
    twice = _plan(facts, Wishes(arguments=("--middleware", "a", "--middleware", "b")))
    assert twice.argv[-4:] == ["--middleware", "a", "--middleware", "b"]
    sources = {flag.name: flag.source for flag in plan.flags}
    assert sources["--max-model-len"] == sources["--seed"] == "user"


def test_the_users_environment_wins(facts: ArtifactFacts) -> None:
    plan = _plan(facts, Wishes(environment={"VLLM_CPU_KVCACHE_SPACE": "7", "OTHER": "1"}))
    assert plan.env["VLLM_CPU_KVCACHE_SPACE"] == "7" and "OTHER" not in plan.env


def test_arguments_that_belong_to_no_flag() -> None:
    with pytest.raises(UsageError, match="belongs to no flag"):
        parse_arguments(["32"])
    several = parse_arguments(["--lora-modules", "a=b", "c=d", "--middleware", "x"])
    assert several[0].argv() == ["--lora-modules", "a=b", "c=d"]
    assert parse_arguments(["--temperature", "-1"])[0].value == "-1"
    assert override([], parse_arguments(["-q", "ascend"]), {})[0].argv() == ["-q", "ascend"]


def test_another_model_cannot_be_slipped_in() -> None:
    with pytest.raises(UsageError, match="verified artifact"):
        parse_arguments(["--model=/etc"])


def test_secrets_do_not_go_on_a_command_line() -> None:
    with pytest.raises(UsageError) as caught:
        parse_arguments(["--api-key", "s3cret"])
    assert "s3cret" not in caught.value.message and "VLLM_API_KEY" in caught.value.remedy


def test_what_does_not_fit_says_how_much_is_missing(facts: ArtifactFacts) -> None:
    plan = _plan(replace(facts, weight_bytes=20 * GIB))
    assert not plan.fits
    (error,) = plan.errors
    assert error.id == "memory"
    # 20 weights + 1 cache + 2 overhead - 14.4 usable
    assert "8.6 GiB are missing" in error.message
    assert plan.memory.free < 0


def test_a_long_context_is_cut_to_what_fits(facts: ArtifactFacts) -> None:
    long = replace(
        facts, architecture=replace(facts.architecture, max_positions=10**9, layers=10**3)
    )
    fit = fit_cpu(long, MACHINE)
    per_token = long.architecture.kv_bytes_per_token
    assert fit.shortened and fit.max_model_len and per_token
    assert fit.max_model_len * per_token <= fit.memory.kv_cache
    assert fit.memory.free >= 0
    reason = next(f for f in _plan(long).flags if f.name == "--max-model-len").reason
    assert "cut from 1000000000" in reason


def test_an_unknown_geometry_is_not_guessed(facts: ArtifactFacts) -> None:
    bare = replace(facts.architecture, max_positions=None, kv_heads=None)
    plan = _plan(replace(facts, architecture=bare))
    assert plan.value("--max-model-len") is None
    assert plan.fits


def test_what_a_cpu_cannot_run(facts: ArtifactFacts) -> None:
    moe = _plan(replace(facts, schemes={"moe": {"W8A8_DYNAMIC": 24}}))
    assert [error.id for error in moe.errors] == ["quantized-experts"]
    assert _plan(replace(facts, schemes={"moe": {"FLOAT": 24}})).fits
    modelslim = _plan(replace(facts, method="modelslim"))
    assert [error.id for error in modelslim.errors] == ["method"]


def test_remote_code_is_a_warning_until_it_is_allowed(facts: ArtifactFacts) -> None:
    remote = replace(facts, architecture=replace(facts.architecture, remote_code=True))
    plan = _plan(remote)
    assert plan.fits and [f.id for f in plan.findings] == ["remote-code"]
    allowed = _plan(remote, Wishes(trust_remote_code=True))
    assert not allowed.findings and "--trust-remote-code" in allowed.argv


def test_this_machine() -> None:
    machine = detect_cpu()
    assert machine.cores >= 1 and machine.memory > CPU_OVERHEAD / 2


def test_the_shell_script_is_one(facts: ArtifactFacts, tmp_path: Path) -> None:
    plan = _plan(replace(facts, folder="/srv/it's here"))
    script = tmp_path / "serve.sh"
    script.write_text(render_shell(replace(plan, command=("echo",))))
    done = subprocess.run(["sh", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == " ".join(plan.argv[3:])


def test_flags_as_arguments_of_llm(facts: ArtifactFacts) -> None:
    words = ("--no-enable-prefix-caching", "--compilation-config", '{"level": 0}')
    arguments = llm_arguments(_plan(facts, Wishes(arguments=words)))
    assert arguments == {
        "model": "/srv/m",
        "dtype": "bfloat16",
        "max_model_len": 64,
        "max_num_seqs": 16,
        "enforce_eager": True,
        "enable_prefix_caching": False,
        "compilation_config": {"level": 0},
    }


def test_switches_have_no_value() -> None:
    assert Flag("--x", None, "r", "user").argv() == ["--x"]
    assert Flag("X", "1", "r", "user").argv() == []
