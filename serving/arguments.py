"""The user's own engine arguments: they win over the plan's, and are marked as the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from registry.errors import UsageError
from serving.abbreviations import whole_name
from serving.hardware.visible import VISIBLE
from serving.plan import USER, Flag

_REASON = "given after --"
# Values that would show in the process list, in plans and in logs.
_SECRETS = {"--api-key": "VLLM_API_KEY", "--hf-token": "HF_TOKEN"}


def parse_arguments(words: Sequence[str]) -> list[Flag]:
    """Read `--name value …`, `--name=value` and `--switch`; beginnings of names are written out.

    Raises:
        UsageError: a word that belongs to no flag, a secret, or another model, also in a file that
            `--config` names.
    """
    flags: list[Flag] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = whole_name(name)
            _check(name)
            flags.append(Flag(name, value if equals else None, _REASON, USER))
        elif word.startswith("-") and not _is_number(word):
            name, equals, value = word.partition("=")
            if name.startswith("-O"):  # of vLLM's own: -O3, -O=3, -O.mode=3
                name, equals = word, ""
            flags.append(Flag(name, value if equals else None, _REASON, USER))
        elif flags and flags[-1].value is None:
            flags[-1] = replace(flags[-1], value=word)
        elif flags:
            flags[-1] = replace(flags[-1], more=(*flags[-1].more, word))
        else:
            raise UsageError(
                f"{word!r} belongs to no flag of the engine",
                remedy="Write the engine's arguments as --name value, after a -- of their own.",
            )
    for flag in flags:
        if flag.name == "--config":
            _check_file(flag.value or "")
    return flags


def _check(name: str, where: str = "") -> None:
    """Refuse another model, and secrets; a key behind a dot does not hide them."""
    name = name.partition(".")[0]
    if name == "--model":
        raise UsageError(
            f"--model {where or 'after --'} would launch something else than the verified artifact",
            remedy="Name the artifact or folder to serve as the command's REFERENCE.",
        )
    if name in _SECRETS:
        shown = "in logs" if where else "in the process list, in plans and in logs"
        raise UsageError(
            f"{name} {where}".rstrip() + f" would show the secret {shown}",
            remedy=f"Set {_SECRETS[name]} in the environment; the engine reads it there.",
        )


def _check_file(path: str) -> None:
    """Look at the names in a file of options, which vLLM puts before those of the command line."""
    import yaml

    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"The file {path!r} of --config cannot be read: {type(error).__name__}",
            remedy="Name a YAML file with an option a line, as vLLM takes it: --config PATH .",
        ) from error
    for key in value if isinstance(value, dict) else ():
        _check(whole_name(f"--{key}".partition("=")[0]), f"in {path}")


def override(
    flags: Iterable[Flag], own: Sequence[Flag], environment: Mapping[str, str]
) -> tuple[Flag, ...]:
    """The plan's flags without those that the user gives, then the user's, in their order.

    Args:
        flags: of the plan.
        own: the user's; one may occur several times.
        environment: what the user has set for variables that the plan sets, too.
    """
    named = {flag.name for flag in own}
    named |= {_negation(name) for name in named}
    kept = []
    for flag in flags:
        # Which devices are shown is respected where the hardware is looked at; what a plan says of
        # it is chosen among them.
        if flag.name in VISIBLE.values():
            kept.append(flag)
        elif flag.is_environment and flag.name in environment:
            value = environment[flag.name]
            kept.append(Flag(flag.name, value, "set in your environment", USER))
        elif flag.name not in named:
            kept.append(flag)
    return (*kept, *own)


def without(nodes: Sequence[Sequence[Flag]], own: Sequence[Flag]) -> tuple[tuple[Flag, ...], ...]:
    """Each node's flags without those that the user gives for all of them."""
    named = {flag.name for flag in own}
    return tuple(tuple(flag for flag in flags if flag.name not in named) for flags in nodes)


def _negation(name: str) -> str:
    """`--x` for `--no-x`, and the other way round."""
    return f"--{name[5:]}" if name.startswith("--no-") else f"--no-{name.removeprefix('--')}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
