"""Perplexity of a model before and after, on the same text and windows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quantizers.llmcompressor import worker_env
from registry.errors import ToolError
from registry.progress import Observer, Progress, ignore
from toolchains import Toolchain, run_tool

_WORKER = Path(__file__).parents[1] / "workers" / "perplexity.py"
WINDOW = 256  # tokens; each window is judged by itself
MAX_TOKENS = 16_384  # of the text; enough for the ratio to be stable, short enough for a CPU


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log likelihood a token.

    Attributes:
        values: by the name given to each model.
        tokens: how many were predicted.
    """

    values: Mapping[str, float]
    tokens: int


def measure_perplexity(
    models: Mapping[str, Path],
    text: Path,
    toolchain: Toolchain,
    *,
    work: Path,
    log: Path,
    trust_remote_code: bool = False,
    observe: Observer = ignore,
) -> Perplexity:
    """Measure several models on one text, one after the other.

    Args:
        models: folders by name.
        text: a UTF-8 text; its first MAX_TOKENS tokens count.
        toolchain: `llmcompressor`, which reads float and compressed-tensors models.
        work: a folder for the job's files.
        log: takes the worker's output.
        trust_remote_code: whether the models' own Python code may run.
        observe: is told the windows done.

    Raises:
        ToolError: a model does not load, or its perplexity is not finite.
    """
    job, result = work / "perplexity.json", work / "perplexity-result.json"
    job.write_text(
        json.dumps(
            {
                "models": {name: str(path) for name, path in models.items()},
                "text": str(text),
                "window": WINDOW,
                "max_tokens": MAX_TOKENS,
                "trust_remote_code": trust_remote_code,
                "result": str(result),
            }
        )
    )

    def on_line(line: str) -> None:
        if line.startswith("window "):
            _, name, done, _, total = line.split()
            observe(Progress(f"measuring perplexity ({name})", int(done), int(total), "windows"))

    observe(Progress("measuring perplexity"))
    argv = [str(toolchain.python), "-I", str(_WORKER), str(job)]
    finished = run_tool(argv, log=log, env=worker_env(), cwd=work, on_line=on_line)
    try:
        values = json.loads(result.read_text())
    except (OSError, ValueError) as error:
        lines = log.read_text(errors="replace").splitlines()
        raise ToolError(
            f"Perplexity could not be measured (exit code {finished.code})",
            remedy=f"The whole log is {log} ; leave the measurement out with --no-evaluate .",
            details="\n".join(lines[-8:]),
        ) from error
    return Perplexity(values["perplexity"], values["tokens"])
