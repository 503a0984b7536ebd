"""The command line: one module a command, imported when it is called."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from typing import Any, NoReturn

import click

from qreg import __version__
from qreg.cli.errors import READER_GONE, report
from qreg.cli.signals import terminate_as_interruption
from qreg.cli.streams import give_up_broken_streams, open_closed_streams

# Name: (module, one line for `qreg --help`). The line stands here so that help imports no command.
COMMANDS = {
    "quantize": ("quantize", "Quantize a model inside a tracked MLflow run."),
    "reproduce": ("reproduce", "Run a recorded quantization again and compare."),
    "adopt": ("adopt", "Take in a folder that was quantized elsewhere."),
    "publish": ("publish", "Publish an artifact under its digest."),
    "pull": ("pull", "Bring an artifact here, every byte verified."),
    "verify": ("verify", "Check every file of an artifact against its manifest."),
    "list": ("list", "List the artifacts of the registry."),
    "inspect": ("inspect", "Show what an artifact is, from its metadata."),
    "lint": ("lint", "Find what is wrong with an artifact, and mend what is safe."),
    "diff": ("diff", "Show how two artifacts differ."),
    "quality": ("quality", "Measure what quantization did to a model."),
    "convert": ("convert", "Write an artifact in another quantizer's format, bit for bit."),
    "hub": ("hub", "Serve a registry to Hugging Face's and ModelScope's clients."),
    "cache": ("cache", "Look after what was pulled to this machine."),
    "plan": ("plan", "Show how an artifact would be served, and why so."),
    "hardware": ("hardware", "Show what this machine is, and what hardware can run."),
    "doctor": ("doctor", "Say what would stop a launch here, and how to mend it."),
    "serve": ("serve", "Serve an artifact and prove that it answers."),
    "generate": ("generate", "Answer a prompt offline, without a server."),
    "toolchain": ("toolchain", "Manage the environments of quantizers and engines."),
    "sync": ("sync", "Send what MLflow could not take before."),
    "ui": ("ui", "Open MLflow's UI on the tracked runs."),
    "demo": ("demo", "Take a small model through all of this, on this machine."),
}


class _LazyGroup(click.Group):
    """Knows its commands by name and imports one when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"qreg.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="qreg")
def cli() -> None:
    """A registry for quantized large language models, and the way to run them."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; every failure is reported in one place."""
    # Metadata of large models are millions of small objects that live as long as the command.
    gc.set_threshold(1_000_000, 50, 100)
    # To look through all of them for garbage once more, at the end, takes 50 ms and more.
    atexit.register(gc.freeze)
    arguments = sys.argv[1:] if argv is None else argv
    terminate_as_interruption()
    open_closed_streams()
    try:
        result: Any = cli.main(arguments, prog_name="qreg", standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except BaseException as error:  # noqa: BLE001 - report() sorts out what it is
        code = report(error, as_json="--json" in _before_separator(arguments))
    gone = give_up_broken_streams()
    sys.exit(READER_GONE if gone and code == 0 else code)


def _before_separator(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments
