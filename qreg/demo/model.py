"""The models that the demo and the tests build for themselves, cached by their recipe's digest."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantizers.llmcompressor import worker_env
from quantizers.quality.text import training_passages
from registry.config import Settings
from registry.errors import ToolError
from registry.progress import Observer, Progress, ignore
from registry.staging import staged_folder
from toolchains import Toolchain, run_tool
from toolchains.interpreter import python_environment, worker_command

_TRAINER = Path(__file__).with_name("train.py")
_STEP = re.compile(r"step (\d+)/(\d+) loss ([\d.]+)")


@dataclass(frozen=True)
class ModelRecipe:
    """How a small model is built.

    Attributes:
        name: the folder's.
        kind: `dense` (Qwen3) or `moe` (Qwen3-MoE).
        config: arguments of transformers' config class.
        steps: of training; 0 leaves the weights as they are drawn.
        batch: sequences a step.
        length: tokens a sequence.
        passages: how many docstrings it learns from at the most.
        learning_rate: of AdamW; Muon, for the hidden matrices, gets seven times that.
        seed: of everything that is drawn.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    steps: int
    batch: int = 8
    length: int = 256
    passages: int = 1_000_000
    learning_rate: float = 3e-3
    seed: int = 7


_DENSE = {"tie_word_embeddings": True, "rope_theta": 10000.0}
DEMO = ModelRecipe(
    name="Qwen3-demo",
    kind="dense",
    config={
        **_DENSE,
        "vocab_size": 2048,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 1024,
    },
    steps=200,
)
TINY_DENSE = ModelRecipe(
    name="Qwen3-tiny",
    kind="dense",
    config={
        **_DENSE,
        "tie_word_embeddings": False,
        "vocab_size": 512,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "max_position_embeddings": 512,
    },
    steps=0,
    passages=300,
)
TINY_MOE = ModelRecipe(
    name="Qwen3-MoE-tiny",
    kind="moe",
    config={
        **TINY_DENSE.config,
        "hidden_size": 64,
        "moe_intermediate_size": 64,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "head_dim": 32,
    },
    steps=0,
    passages=300,
)


def build_model(
    recipe: ModelRecipe, toolchain: Toolchain, settings: Settings, observe: Observer = ignore
) -> Path:
    """Build a model, or find the one that was built from the same recipe, text and trainer.

    Args:
        recipe: what to build.
        toolchain: `llmcompressor`, which has torch and transformers.
        settings: where the cache is.
        observe: is told the training steps.

    Returns:
        The model's folder, named as the recipe.

    Raises:
        ToolError: the trainer failed; the end of its log is in the details.
    """
    passages = [[p.name, p.text] for p in training_passages()[: recipe.passages]]
    job = {
        "model": {"kind": recipe.kind, "config": dict(recipe.config)},
        "training": {k: v for k, v in asdict(recipe).items() if k not in ("name", "config")},
        "passages": passages,
    }
    digest = hashlib.sha256(json.dumps(job, sort_keys=True).encode() + _TRAINER.read_bytes())
    target = settings.cache / "models" / digest.hexdigest()[:16] / recipe.name
    if not target.is_dir():
        with staged_folder(target) as partial:
            _train(job, partial, toolchain, settings, observe)
    return target


def _train(
    job: dict[str, Any],
    output: Path,
    toolchain: Toolchain,
    settings: Settings,
    observe: Observer,
) -> None:
    work = Path(tempfile.mkdtemp(prefix="qreg-train-"))
    log = settings.new_log("train")

    def on_line(line: str) -> None:
        if match := _STEP.match(line):
            done, total, loss = int(match[1]), int(match[2]), match[3]
            observe(Progress("training", done, total, "steps", f"loss {loss}"))

    try:
        description = work / "job.json"
        description.write_text(json.dumps({**job, "output": str(output)}))
        observe(Progress("preparing the training"))
        argv = [*worker_command(toolchain, _TRAINER), str(description)]
        env = {**python_environment(toolchain, observe=observe), **worker_env()}
        finished = run_tool(argv, log=log, env=env, cwd=work, on_line=on_line)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if finished.code != 0:
        raise ToolError(
            f"Training the model failed (exit code {finished.code})",
            remedy=f"The whole log is {log} .",
            details="\n".join(log.read_text(errors="replace").splitlines()[-12:]),
        )
