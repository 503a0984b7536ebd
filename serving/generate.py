"""Generating offline, without a server, through vLLM's `LLM` class in the engine's toolchain."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.config import Settings
from registry.errors import UsageError
from registry.progress import Note, Observer, ignore
from serving.engines import open_engine
from serving.failures import ended, require_free_memory
from serving.launch import require_launchable
from serving.plan import Plan
from serving.prompts import Prompt
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
    """What came back for one prompt, a text or a conversation."""

    prompt: Prompt
    answer: str
    tokens: int


def generate(
    plan: Plan,
    prompts: Sequence[Prompt],
    settings: Settings,
    *,
    raw: bool = False,
    max_tokens: int = 64,
    temperature: float = 0.0,
    top_p: float | None = None,
    top_k: int | None = None,
    observe: Observer = ignore,
) -> list[Generation]:
    """Load the plan's model, answer the prompts, end.

    Args:
        plan: its flags become the arguments of `LLM`.
        prompts: texts, asked as conversations where the artifact has a chat template; or
            conversations.
        settings: where logs go.
        raw: complete texts as they are, without the chat template.
        max_tokens: for each answer.
        temperature: 0 takes the most likely token each time.
        top_p: with a temperature, a token is drawn from the most likely ones that together have
            this probability; None from all. What the model's generation_config.json suggests is
            not used.
        top_k: with a temperature, a token is drawn from this many of the most likely ones; None
            from all.
        observe: is told the steps of the start.

    Raises:
        UsageError: there is no prompt, or a conversation and no chat template for it.
        IncompatibleError: the plan has errors, or takes memory that is not free.
        ToolError: the engine failed; its root cause and the end of its log are told.
    """
    chat = plan.chat and not raw
    _require_template(prompts, chat, raw)
    require_launchable(plan)
    if temperature == 0 and (top_p is not None or top_k is not None):
        text = "At temperature 0 the most likely token is taken: top-p and top-k change nothing"
        observe(Note(text, warning=True))
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
                    "prompts": list(prompts),
                    "chat": chat,
                    "sampling": sampling(max_tokens, temperature, top_p, top_k),
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


def sampling(
    max_tokens: int, temperature: float, top_p: float | None = None, top_k: int | None = None
) -> dict[str, Any]:
    """Keyword arguments of vLLM's `SamplingParams`; what is None keeps its default."""
    given = {"top_p": top_p, "top_k": top_k}
    found = {key: value for key, value in given.items() if value is not None}
    return {"max_tokens": max_tokens, "temperature": temperature, **found}


def _require_template(prompts: Sequence[Prompt], chat: bool, raw: bool) -> None:
    if not prompts:
        raise UsageError("There is no prompt to answer", remedy="Give --prompt or --prompts FILE.")
    if chat or all(isinstance(prompt, str) for prompt in prompts):
        return
    why = "raw text is asked for" if raw else "the artifact has no chat template"
    raise UsageError(
        f"A prompt is a conversation, and {why}",
        remedy="Give texts, or leave --raw out for an artifact with a chat template.",
    )


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
