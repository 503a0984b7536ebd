"""The offline program, as Python runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from registry.config import Settings
from registry.config import load as load_settings
from registry.errors import IncompatibleError
from serving.collect import collect_facts
from serving.engines.vllm_cpu import VllmCpu
from serving.generate import llm_arguments
from serving.plan import Plan
from serving.render import render
from serving.resolver import compose_plan
from serving.wishes import Wishes
from tests.quantized import quantized
from tests.serving.render.plans import ONE_NODE, THREE_NODES, flag
from toolchains import find_toolchain

# In place of vLLM: says what it was given, and what the environment was when it was imported.
VLLM = """
import json, os
ENVIRONMENT = dict(os.environ)
class SamplingParams:
    def __init__(self, **values): print(json.dumps(values))
class LLM:
    def __init__(self, **arguments):
        print(json.dumps([arguments, ENVIRONMENT]))
    def generate(self, prompts, sampling):
        texts = [type("Text", (), {"text": f"an answer to {prompt}"}) for prompt in prompts]
        return [type("Output", (), {"prompt": p, "outputs": [t]}) for p, t in zip(prompts, texts)]
"""
SERVER_ONLY = ("--middleware", "--allowed-origins")


@pytest.fixture
def plan() -> Plan:
    return replace(ONE_NODE, flags=tuple(f for f in ONE_NODE.flags if f.name not in SERVER_ONLY))


def _run(plan: Plan, folder: Path, python: str | Path = sys.executable) -> list[str]:
    program = folder / "offline.py"
    program.write_text(render(plan, "python"))
    done = subprocess.run(
        [python, program], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().split("\n")


def test_llm_gets_its_arguments_after_the_environment(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "vllm.py").write_text(VLLM)
    sampled, said, *answers = _run(plan, tmp_path)
    arguments, environment = json.loads(said)
    assert arguments == llm_arguments(plan)
    assert arguments["compilation_config"]["cudagraph_capture_sizes"] == [1, 2, 4]
    assert arguments["enable_prefix_caching"] is False and "host" not in arguments
    assert {name: environment[name] for name in plan.env} == plan.env
    # The prompts and the sampling of vLLM Ascend's guide, which completes texts.
    assert json.loads(sampled) == {"temperature": 0.6, "top_p": 0.95, "top_k": 40}
    assert answers == [
        f"Prompt: {prompt!r}, Generated text: 'an answer to {prompt}'"
        for prompt in ("Hello, my name is", "The future of AI is")
    ]
    assert "llm.chat(" in render(plan, "python")
    assert "llm.chat(" not in render(replace(plan, chat=False), "python")


def test_every_argument_has_its_reason(plan: Plan) -> None:
    lines = render(plan, "python").split("\n")
    for number, line in enumerate(lines):
        if line.startswith(("        tensor_", "        enable_prefix", "os.environ")):
            assert lines[number - 1].strip().startswith("# the reason for ")


def test_what_llm_does_not_start() -> None:
    for several in (THREE_NODES, replace(ONE_NODE, parallel={"tensor": 4, "data": 2})):
        with pytest.raises(IncompatibleError, match="one replica on one node") as caught:
            render(several, "python")
        assert "--data-parallel-size 1" in caught.value.remedy
    with pytest.raises(IncompatibleError, match="cannot spell"):
        render(replace(ONE_NODE, flags=(flag("--compilation-config.level", "0"),)), "python")


@pytest.mark.e2e
def test_a_quantized_model_answers_on_the_cpu(settings: Settings, tmp_path: Path) -> None:
    folder = quantized("llmcompressor-int8", load_settings())
    engine = VllmCpu()
    toolchain = find_toolchain(engine.toolchain, settings)
    facts = collect_facts(str(folder), settings)
    wishes = Wishes(arguments=("--max-num-seqs", "2"))
    plan = compose_plan(facts, wishes, engine, engine.sight().hardware, release=toolchain.version)
    assert plan.fits
    log = _run(replace(plan, chat=False), tmp_path, toolchain.python)
    assert any("W8A8" in line for line in log), log  # loaded as what it is
