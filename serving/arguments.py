"""The user's own engine arguments: they win over the plan's, and are marked as the user's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from registry.errors import UsageError
from serving.plan import USER, Flag

_REASON = "given after -- "
# Values that would show in the process list, in plans and in logs.
_SECRETS = {"--api-key": "VLLM_API_KEY", "--hf-token": "HF_TOKEN"}


def parse_arguments(words: Sequence[str]) -> list[Flag]:
    """Read `--name value`, `--name=value` and `--switch`.

    Raises:
        UsageError: a word that belongs to no flag, a secret, or another model.
    """
    flags: list[Flag] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = name.replace("_", "-")
            if name == "--model":
                raise UsageError(
                    "--model after -- would launch something else than the verified artifact",
                    remedy="Name the artifact or folder to serve as the command's REFERENCE.",
                )
            if name in _SECRETS:
                raise UsageError(
                    f"{name} would show the secret in the process list, in plans and in logs",
                    remedy=f"Set {_SECRETS[name]} in the environment; the engine reads it there.",
                )
            flags.append(Flag(name, value if equals else None, _REASON, USER))
        elif word.startswith("-") and not _is_number(word):
            flags.append(Flag(word, None, _REASON, USER))
        elif flags and flags[-1].value is None:
            last = flags.pop()
            flags.append(Flag(last.name, word, last.reason, last.source))
        else:
            raise UsageError(
                f"{word!r} belongs to no flag of the engine",
                remedy="Write the engine's arguments as --name value, after a -- of their own.",
            )
    return flags


def override(flags: Iterable[Flag], own: Sequence[Flag]) -> tuple[Flag, ...]:
    """The plan's flags with the user's in their place, and the user's others at the end."""
    by_name = {flag.name: flag for flag in own}
    negated = {f"--no-{flag.name.removeprefix('--')}": flag.name for flag in own}
    kept = []
    for flag in flags:
        if flag.name in by_name:
            kept.append(by_name.pop(flag.name))
        elif f"--no-{flag.name.removeprefix('--')}" in by_name or flag.name in negated:
            continue
        else:
            kept.append(flag)
    return (*kept, *by_name.values())


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
