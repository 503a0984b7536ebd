"""What models predict on the same text and windows: perplexity, and divergence from the float one.

Everything is computed in float32. A quantized model is simulated (see `simulation`): its weights
dequantized, the inputs of its layers quantized as its format prescribes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantizers.consent import needs_code
from quantizers.llmcompressor import worker_env
from quantizers.quality.budget import Budget, OutOfTime
from quantizers.quality.simulation import simulate
from registry.checkpoint import open_checkpoint
from registry.checkpoint.facts import read_facts
from registry.checkpoint.remote_code import code_of, untrusted_error
from registry.errors import ToolError
from registry.files import remove_tree
from registry.progress import Observer, Progress, ignore
from toolchains import Toolchain, run_tool
from toolchains.interpreter import python_environment, worker_command

_WORKER = Path(__file__).parents[1] / "workers" / "perplexity.py"
WINDOW = 256  # tokens; each window is judged by itself
MAX_TOKENS = 16_384  # of the text; enough for the ratio to be stable, short enough for a CPU
MAX_LOGITS = 2 * 2**30  # bytes on disk: 3,500 tokens of a vocabulary of 150,000
FLOAT, QUANTIZED, OTHER = "float", "quantized", "other"
_OUT_OF_TIME = 75  # the worker's exit code
_GRACE = 3.0  # seconds
ANSWERS = 4  # prompts that the models go on from


@dataclass(frozen=True)
class Answer:
    """A prompt, and how each model goes on, greedily, by the models' names."""

    prompt: str
    continuations: Mapping[str, str]


@dataclass(frozen=True)
class Perplexity:
    """What models predict of a text.

    Attributes:
        values: exp of the mean negative log likelihood a token, by the name given to each model.
        tokens: how many were predicted.
        of_tokens: how many of the text would have been, with all the time in the world.
        divergences: Kullback-Leibler divergence of the next token's distribution, from the first
            model to each other, nats a token.
        agreements: the share of tokens of which both find the same one most likely.
        compared: how many tokens divergence and agreement are of.
        not_simulated: what is quantized in a model and left out here, such as its KV cache.
        answers: how each model goes on from the beginnings of some windows.
    """

    values: Mapping[str, float]
    tokens: int
    divergences: Mapping[str, float] = field(default_factory=dict)
    agreements: Mapping[str, float] = field(default_factory=dict)
    compared: int = 0
    not_simulated: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    of_tokens: int = 0

    def figures(self) -> dict[str, float]:
        """Those of the models `float` and `quantized`, by the names under which they are tracked.

        perplexity_float, perplexity_quantized, perplexity_ratio, divergence (nats a token) and
        agreement (a share).
        """
        found = self.figures_of(QUANTIZED)
        return {
            "perplexity_float": self.values[FLOAT],
            "perplexity_quantized": found.pop("perplexity"),
            **found,
        }

    def figures_of(self, model: str) -> dict[str, float]:
        """perplexity, perplexity_ratio, divergence and agreement of one, held against `float`."""
        after = self.values[model]
        found = {"perplexity": after, "perplexity_ratio": after / self.values[FLOAT]}
        if model in self.divergences:
            found["divergence"] = self.divergences[model]
            found["agreement"] = self.agreements[model]
        return found

    def equal_answers(self, model: str) -> int:
        """How many of one's answers are word for word those of `float`."""
        told = [answer.continuations for answer in self.answers]
        return sum(each[model] == each[FLOAT] for each in told)

    def to_json(self) -> dict[str, Any]:
        """The figures, with what they are of."""
        return {
            **self.figures(),
            "tokens": self.tokens,
            "of_tokens": max(self.of_tokens, self.tokens),
            "compared_tokens": self.compared,
            "not_simulated": list(self.not_simulated),
            "answers": [
                {"prompt": answer.prompt, "continuations": dict(answer.continuations)}
                for answer in self.answers
            ],
        }


def measure_perplexity(
    models: Mapping[str, Path],
    text: Path,
    toolchain: Toolchain,
    *,
    work: Path,
    log: Path,
    trust_remote_code: bool = False,
    budget: Budget | None = None,
    observe: Observer = ignore,
) -> Perplexity:
    """Measure several models on one text, one after the other.

    Args:
        models: folders by name, in floating point or quantized by whichever tool; the first one is
            what the others' predictions are compared with.
        text: a UTF-8 text; its first MAX_TOKENS tokens count.
        toolchain: `llmcompressor`, which loads models of many architectures.
        work: a folder for the job's files: quantized models in float32, and logits.
        log: takes the worker's output.
        trust_remote_code: whether the models' own Python code may run.
        budget: the time that it may take; with a limit, the models write no answers. None: all.
        observe: is told the windows done.

    Raises:
        OutOfTime: there was no time for a single window of each model.
        IncompatibleError: a model's format cannot be simulated.
        NotAllowedError: a model cannot be loaded without its own Python code.
        ToolError: a model does not load, or its perplexity is not finite.
    """
    job, result = work / "perplexity.json", work / "perplexity-result.json"
    budget = budget or Budget()
    result.unlink(missing_ok=True)
    folders: dict[str, str] = {}
    missing: list[str] = []
    try:
        for name, folder in models.items():
            facts = read_facts(open_checkpoint(folder))
            folders[name] = str(folder)
            if facts.quantization.method != "none":
                missing += simulate(
                    facts, work / f"simulated-{name}", tick=budget.require, observe=observe
                )
                folders[name] = str(work / f"simulated-{name}")
        job.write_text(
            json.dumps(
                {
                    "models": folders,
                    "text": str(text),
                    "window": WINDOW,
                    "max_tokens": MAX_TOKENS,
                    "max_bytes": MAX_LOGITS,
                    "answers": ANSWERS if budget.left is None else 0,
                    "until": None if budget.left is None else time.time() + budget.left,
                    "scratch": str(work / "logits"),
                    "trust_remote_code": trust_remote_code,
                    "result": str(result),
                }
            )
        )
        values = _run(job, result, toolchain, [*models.values()], log, budget, observe)
    finally:
        for name in models:
            remove_tree(work / f"simulated-{name}")
        (work / "logits").unlink(missing_ok=True)
    return Perplexity(
        values["perplexity"],
        values["tokens"],
        values["divergence"],
        values["agreement"],
        values["compared"],
        tuple(missing),
        tuple(Answer(**row) for row in values["answers"]),
        values["of_tokens"],
    )


def _run(
    job: Path,
    result: Path,
    toolchain: Toolchain,
    models: list[Path],
    log: Path,
    budget: Budget,
    observe: Observer,
) -> dict[str, Any]:
    def on_line(line: str) -> None:
        if line.startswith("window "):
            _, name, done, _, total = line.split()
            observe(Progress(f"measuring perplexity ({name})", int(done), int(total), "windows"))

    observe(Progress("measuring perplexity"))
    argv = [*worker_command(toolchain, _WORKER), str(job)]
    env = {**python_environment(toolchain, observe=observe), **worker_env()}
    # A window that was begun is ended, if that does not take long.
    until = None if budget.until is None else budget.until + _GRACE
    try:
        finished = run_tool(argv, log=log, env=env, cwd=job.parent, on_line=on_line, until=until)
        code = finished.code
    except TimeoutError:  # what it has measured by then counts
        code = 0 if result.is_file() else _OUT_OF_TIME
    if code == _OUT_OF_TIME:
        raise OutOfTime
    try:
        values: dict[str, Any] = json.loads(result.read_text())
        return values
    except (OSError, ValueError) as error:
        text = log.read_text(errors="replace")
        lines = text.splitlines()
        if not json.loads(job.read_text())["trust_remote_code"] and needs_code(text):
            needy = next((folder for folder in models if code_of(folder).wanted), models[0])
            raise untrusted_error(needy, needy.name) from error
        raise ToolError(
            f"Perplexity could not be measured (exit code {code})",
            remedy=f"The whole log is {log} ; the measurement can be left out.",
            details="\n".join(lines[-8:]),
        ) from error
