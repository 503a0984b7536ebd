"""What the formats share: comments, YAML, and words that stand for something else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import yaml

from registry.names import printable
from serving.plan import Flag, Plan
from serving.rules.node_variables import FIRST_NODE as FIRST_NODE
from serving.rules.node_variables import OWN_ADDRESS as OWN_ADDRESS
from serving.rules.node_variables import OWN_INTERFACE as OWN_INTERFACE

WIDTH = 100
ASK_ADDRESS = "${FIRST_NODE_ADDRESS:?the address of the first node}"  # for shells and compose
# Words of a plan that each machine has a value for, and how shells and compose ask for it.
ASKED = {
    FIRST_NODE: ASK_ADDRESS,
    OWN_ADDRESS: "${OWN_ADDRESS:?the address of this node}",
    OWN_INTERFACE: "${OWN_INTERFACE:?the network interface of this node}",
}


def one_line(text: str) -> str:
    """Text that cannot leave a comment: names come from folders, and those may hold line ends."""
    shown = printable(" ".join(printable(text).split()))
    return "".join(c if c.isprintable() else "?" for c in shown)


def comments(lines: Iterable[str]) -> list[str]:
    """Lines as comments, wrapped; what goes on is indented."""
    done = []
    for line in lines:
        wrapped = textwrap.wrap(
            one_line(line), WIDTH - 2, subsequent_indent="    ", break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
        done += [f"# {part}" for part in wrapped] or ["#"]
    return done


def is_asked(plan: Plan, word: str) -> bool:
    """Whether a plan leaves a value to the machine that it runs on: one of `ASKED`."""
    return any(word == flag.value for n in range(plan.nodes) for flag in plan.flags_of(n))


def header(plan: Plan) -> list[str]:
    """What the text was made from, as comments; and what forbids a launch, if something does."""
    where = f"{plan.nodes} × {plan.hardware}" if plan.nodes > 1 else plan.hardware
    lines = [
        f"{plan.artifact} {plan.digest}",
        f"on {where} with {plan.engine} {plan.release}",
        f"plan {plan.to_json()['digest_of_plan']}",
    ]
    if not plan.folder.startswith("/"):
        lines.append(
            "Its files were not on this machine when it was planned: qreg pull brings them."
        )
    lines += [f"NOT LAUNCHABLE: {error.message}. {error.fix}" for error in plan.errors]
    return comments(lines)


def reasons(flags: Iterable[Flag]) -> list[str]:
    """Why each flag is there, as comments."""
    return comments(f"{flag.name}: {why(flag)}" for flag in flags)


def why(flag: Flag) -> str:
    """A flag's reason and where it comes from, on one line."""
    return one_line(f"{flag.reason} ({flag.source})")


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, text of several lines stands as it is."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    if printable(value) != value:
        style = '"'  # the one style that has escapes
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(*documents: Any) -> str:
    """YAML in the order that the documents have.

    Control characters are escaped, also those that YAML would take as they are: its escapes in
    double quotes are written as those of `printable`.
    """
    return printable(
        yaml.dump_all(
            documents,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=10**6,
            explicit_start=len(documents) > 1,
        )
    )
