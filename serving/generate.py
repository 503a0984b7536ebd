"""Generating offline, without a server, through vLLM's `LLM` class in the engine's toolchain."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.config import Settings
from registry.progress import Observer, ignore
from serving.engines import open_engine
from serving.failures import ended, require_free_memory
from serving.launch import require_launchable
from serving.plan import Plan
from toolchains import find_toolchain, run_tool
from toolchains.interpreter import python_environment, worker_command

_WORKER = Path(__file__).parent / "workers" / "vllm_generate.py"
# Arguments of the server that the LLM class does not have.
_SERVER_ONLY = frozenset(
    {
        "--host", "--port", "--served-model-name", "--tool-call-parser", "--headless",
        "--enable-auto-tool-choice", "--data-parallel-size",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Generation:
    """What came back for one prompt."""

    prompt: str
    answer: str
    tokens: int


def generate(
    plan: Plan,
    prompts: list[str],
    settings: Settings,
    *,
    max_tokens: int = 64,
    temperature: float = 0.0,
    observe: Observer = ignore,
) -> list[Generation]:
    """Load the plan's model, answer the prompts, end.

    Args:
        plan: its flags become the arguments of `LLM`.
        prompts: asked as conversations where the artifact has a chat template.
        settings: where logs go.
        max_tokens: for each answer.
        temperature: 0 decodes greedily.
        observe: is told the steps of the start.

    Raises:
        IncompatibleError: the plan has errors, or takes memory that is not free.
        ToolError: the engine failed; its root cause and the end of its log are told.
    """
    require_launchable(plan)
    engine = open_engine(plan.engine)
    toolchain = find_toolchain(engine.toolchain, settings)
    require_free_memory(plan)
    work = Path(tempfile.mkdtemp(prefix="qreg-generate-"))
    log = settings.new_log(f"generate-{plan.artifact}")
    try:
        job, result = work / "job.json", work / "result.json"
        job.write_text(
            json.dumps(
                {
                    "arguments": llm_arguments(plan),
                    "prompts": prompts,
                    "chat": plan.chat,
                    "max_tokens": max_tokens,
                    "temperature": temperature,
                    "result": str(result),
                }
            )
        )

        def on_line(line: str) -> None:
            progress = engine.read_line(line)
            if progress is not None:
                observe(progress)

        argv = [*worker_command(toolchain, _WORKER), str(job)]
        env = {**python_environment(toolchain, observe=observe), **plan.env}
        finished = run_tool(argv, log=log, env=env, cwd=work, on_line=on_line)
        if not result.is_file():
            raise ended(plan.engine, "while generating", finished.code, log, engine.failures)
        return [Generation(**item) for item in json.loads(result.read_text())]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def llm_arguments(plan: Plan) -> dict[str, Any]:
    """The plan's flags as keyword arguments of vLLM's `LLM`."""
    arguments: dict[str, Any] = {"model": plan.folder}
    for flag in plan.flags:
        if flag.is_environment or flag.name in _SERVER_ONLY:
            continue
        name = flag.name.lstrip("-").replace("-", "_")
        if flag.value is None and name.startswith("no_"):
            arguments[name.removeprefix("no_")] = False
        else:
            arguments[name] = True if flag.value is None else _typed(flag.value)
    return arguments


def _typed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
