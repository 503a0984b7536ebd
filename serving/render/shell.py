"""A plan as a shell script that can be pasted or kept."""

from __future__ import annotations

import re
from collections.abc import Sequence

from serving.plan import Flag, Plan
from serving.render.cann import cann_lines
from serving.render.text import (
    ASKED,
    FIRST_NODE,
    OWN_ADDRESS,
    OWN_INTERFACE,
    comments,
    header,
    is_asked,
    reasons,
    why,
)
from serving.render.words import acts, plain_quote

Command = Sequence[Sequence[str]]  # words by line
_PLACEHOLDERS = re.compile("|".join(ASKED))


class Raw(str):
    """Shell that stands for words, none or several, and is written as it is."""


def render_shell(plan: Plan) -> str:
    """The launch as a POSIX shell script, with the reasons for its flags.

    It can be pasted into a terminal, which outlives the server, or kept and started, where the
    server takes the script's place and gets its signals. For several nodes it takes the number of
    the node, from 0, as its argument or as `NODE`; the first node's address, where the plan does
    not have it, as `FIRST_NODE_ADDRESS`. A node's own address and interface are found by the route
    to the first node, unless `OWN_INTERFACE` (and `OWN_ADDRESS`) say them.
    """
    commands = [
        [plan.command, *(flag.argv() for flag in plan.flags_of(node) if flag.argv())]
        for node in range(plan.nodes)
    ]
    cann = cann_lines() if plan.engine == "vllm-ascend" else []
    own = [_exports(flags) for flags in plan.node_flags]
    arguments = [flag for flag in all_flags(plan) if not flag.is_environment]
    return script(plan, arguments, [*cann, *_exports(plan.flags)], commands, own)


def script(
    plan: Plan,
    flags: Sequence[Flag],
    before: Sequence[str],
    commands: Sequence[Command],
    own: Sequence[Sequence[str]] = (),
) -> str:
    """A script that explains `flags`, does `before` and then becomes its node's command.

    Args:
        plan: that it starts.
        flags: to explain.
        before: lines for all nodes.
        commands: one for each node.
        own: lines for each node, before its command.
    """
    lines = ["#!/bin/sh", *header(plan)]
    if len(commands) > 1:
        lines += comments(usage(plan))
    lines += ["#", *reasons(flags), "serve() {", "  set -eu"]
    lines += [f"  {line}" for line in (*_place(plan), *before)]
    if len(commands) == 1:
        lines += _exec(commands[0], "  ")
    else:
        lines.append('  case "${1:-${NODE:-}}" in')
        for node, command in enumerate(commands):
            lines.append(f"    {node})")
            lines += [f"      {line}" for line in (own[node] if own else ())]
            lines += [*_exec(command, "      "), "      ;;"]
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
    if is_asked(plan, OWN_ADDRESS):
        lines.append(
            "OWN_INTERFACE in the environment is the network interface to the other nodes; by "
            "default the one on the route to the first node."
        )
    return lines


def all_flags(plan: Plan) -> list[Flag]:
    """Arguments and variables of all nodes, each name once."""
    return list({f.name: f for node in range(plan.nodes) for f in plan.flags_of(node)}.values())


def export(flag: Flag) -> str:
    """A variable for the launch, with its reason."""
    return f"export {flag.name}={quote(flag.value or '')}  # {why(flag)}"


def quote(word: str) -> str:
    """A word for a shell; what each machine has a value for is asked of the environment."""
    if isinstance(word, Raw):
        return word
    found = _PLACEHOLDERS.findall(word)
    if not found:
        return plain_quote(word)
    parts = [plain_quote(part) if part else "" for part in _PLACEHOLDERS.split(word)]
    asked = [f'"{ASKED[name]}"' for name in found] + [""]
    return "".join(part + question for part, question in zip(parts, asked, strict=True))


def join(words: Sequence[str]) -> str:
    """Words for a shell."""
    return " ".join(map(quote, words))


def _exports(flags: Sequence[Flag]) -> list[str]:
    """Lines that set the variables among some flags."""
    lines = []
    for flag in flags:
        if flag.is_environment:
            if acts(flag.value or ""):  # ShellCheck fears that `export` hides a failure of printf
                lines.append("# shellcheck disable=SC2155")
            lines.append(export(flag))
    return lines


def _place(plan: Plan) -> list[str]:
    """Lines that find a node's own address and interface, where the plan leaves them to it."""
    if not is_asked(plan, OWN_ADDRESS):
        return []
    address = next(
        flag.value or ""
        for flag in plan.flags_of(0)
        if flag.name in ("--data-parallel-address", "--master-addr")
    )
    given = next((f.value for f in plan.flags_of(0) if f.name == "GLOO_SOCKET_IFNAME"), None)
    lines = ["# Where this node meets the others: the way to the first node, unless it is said."]
    if given and given != OWN_INTERFACE:
        lines.append(f"OWN_INTERFACE=${{OWN_INTERFACE:-{plain_quote(given)}}}")
    return [
        *lines,
        'if [ -z "${OWN_ADDRESS:-}" ] && [ -n "${OWN_INTERFACE:-}" ]; then',
        '  OWN_ADDRESS=$(ip -o addr show dev "$OWN_INTERFACE" scope global |',
        '    awk \'{ sub("/.*", "", $4); print $4; exit }\')',
        'elif [ -z "${OWN_ADDRESS:-}" ]; then',
        f"  first=$(getent ahosts {quote(address)} | awk '{{ print $1; exit }}')",
        '  OWN_ADDRESS=$(ip -o route get "$first" |',
        "    awk '{ for (i = 1; i < NF; i++) if ($i == \"src\") { print $(i + 1); exit } }')",
        "fi",
        'if [ -z "${OWN_INTERFACE:-}" ]; then',
        "  OWN_INTERFACE=$(ip -o addr show to \"$OWN_ADDRESS\" | awk '{ print $2; exit }')",
        "fi",
    ]


def _exec(command: Command, indent: str) -> list[str]:
    lines = [join(words) for words in command]
    text = f" \\\n{indent}  ".join(["exec " + lines[0], *lines[1:]])
    if any(isinstance(word, Raw) for words in command for word in words):
        # ShellCheck fears that what stands for several words was meant for one.
        return [f"{indent}# shellcheck disable=SC2046", indent + text]
    return [indent + text]
