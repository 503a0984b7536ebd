"""A plan as a shell script that can be pasted or kept."""

from __future__ import annotations

from collections.abc import Sequence

from serving.plan import Flag, Plan
from serving.render.cann import cann_lines
from serving.render.text import ASK_ADDRESS, FIRST_NODE, comments, header, reasons, why
from serving.render.words import acts, plain_quote

Command = Sequence[Sequence[str]]  # words by line


class Raw(str):
    """Shell that stands for words, none or several, and is written as it is."""


def render_shell(plan: Plan) -> str:
    """The launch as a POSIX shell script, with the reasons for its flags.

    It can be pasted into a terminal, which outlives the server, or kept and started, where the
    server takes the script's place and gets its signals. For several nodes it takes the number of
    the node, from 0, as its argument or as `NODE`; the first node's address, where the plan does
    not have it, as `FIRST_NODE_ADDRESS`.
    """
    commands = [
        [plan.command, *(flag.argv() for flag in plan.flags_of(node) if flag.argv())]
        for node in range(plan.nodes)
    ]
    before = cann_lines() if plan.engine == "vllm-ascend" else []
    for flag in plan.flags:
        if flag.is_environment:
            if acts(flag.value or ""):  # ShellCheck fears that `export` hides a failure of printf
                before.append("# shellcheck disable=SC2155")
            before.append(export(flag))
    arguments = [flag for flag in all_flags(plan) if not flag.is_environment]
    return script(plan, arguments, before, commands)


def script(
    plan: Plan, flags: Sequence[Flag], before: Sequence[str], commands: Sequence[Command]
) -> str:
    """A script that explains `flags`, does `before` and then becomes its node's command."""
    lines = ["#!/bin/sh", *header(plan)]
    if len(commands) > 1:
        lines += comments(usage(plan))
    lines += ["#", *reasons(flags), "serve() {", "  set -eu"]
    lines += [f"  {line}" for line in before]
    if len(commands) == 1:
        lines += _exec(commands[0], "  ")
    else:
        lines.append('  case "${1:-${NODE:-}}" in')
        for node, command in enumerate(commands):
            lines += [f"    {node})", *_exec(command, "      "), "      ;;"]
        last = len(commands) - 1
        lines += [
            "    *)",
            f'      echo "Which node is this, 0 to {last}? Give its number or set NODE." >&2',
            "      exit 2",
            "      ;;",
            "  esac",
        ]
    lines += [
        "}",
        "# Pasted into a terminal, the server ends without it; a script becomes the server.",
        "case $- in",
        '  *i*) (serve "$@") ;;',
        '  *) serve "$@" ;;',
        "esac",
    ]
    return "\n".join(lines) + "\n"


def usage(plan: Plan) -> list[str]:
    """How several nodes are started."""
    lines = [
        f"Start it on each of {plan.nodes} nodes with the node's number, from 0: sh serve.sh 1"
    ]
    if any(flag.value == FIRST_NODE for flag in plan.flags_of(0)):
        lines.append("FIRST_NODE_ADDRESS in the environment is where node 0 can be reached.")
    return lines


def all_flags(plan: Plan) -> list[Flag]:
    """Arguments and variables of all nodes, each name once."""
    return list({f.name: f for node in range(plan.nodes) for f in plan.flags_of(node)}.values())


def export(flag: Flag) -> str:
    """A variable for the launch, with its reason."""
    return f"export {flag.name}={quote(flag.value or '')}  # {why(flag)}"


def quote(word: str) -> str:
    """A word for a shell; the first node's address is asked of the environment."""
    if isinstance(word, Raw):
        return word
    if FIRST_NODE not in word:
        return plain_quote(word)
    parts = [plain_quote(part) if part else "" for part in word.split(FIRST_NODE)]
    return f'"{ASK_ADDRESS}"'.join(parts)


def join(words: Sequence[str]) -> str:
    """Words for a shell."""
    return " ".join(map(quote, words))


def _exec(command: Command, indent: str) -> list[str]:
    lines = [join(words) for words in command]
    text = f" \\\n{indent}  ".join(["exec " + lines[0], *lines[1:]])
    if any(isinstance(word, Raw) for words in command for word in words):
        # ShellCheck fears that what stands for several words was meant for one.
        return [f"{indent}# shellcheck disable=SC2046", indent + text]
    return [indent + text]
