"""`qreg serve` on one of several nodes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from qreg.cli.output import Output
from qreg.cli.planning import Planning
from registry.config import Settings
from registry.errors import IncompatibleError, UsageError
from registry.progress import Observer

if TYPE_CHECKING:
    from rich.console import Console

    from serving.nodes.group import Group
    from serving.plan import Plan


def number_of(planning: Planning, node: int | None) -> int | None:
    """This node's number, None where there is one node.

    Raises:
        UsageError: the number or the first node's address is missing or impossible.
    """
    count = planning.nodes
    if count == 1:
        if node:
            raise UsageError(
                f"--node {node} needs --nodes, the number of all of them",
                remedy="Say --nodes 2 or more, and --address of the first one.",
            )
        return None
    if node is None:
        raise UsageError(
            f"{count} nodes are to serve together, and it is not said which of them this is",
            remedy="Start it on each with the same arguments and its own number: --node 0 on the "
            f"first, … --node {count - 1} on the last.",
        )
    if node >= count:
        raise UsageError(
            f"--node {node} is none of {count} nodes", remedy=f"They are 0 to {count - 1}."
        )
    if not planning.address:
        raise UsageError(
            "Several nodes need the address of the first one, where the others join it",
            remedy="Give all of them the same --address HOST .",
        )
    return node


@contextlib.contextmanager
def leading(
    plan: Plan, planning: Planning, settings: Settings, timeout: float, observe: Observer
) -> Iterator[tuple[Plan, Group]]:
    """The first node's plan and its hold of the others, once all have joined.

    What would keep it from starting is found before the others are waited for.
    """
    from serving.nodes.group import ALONE

    if planning.nodes == 1:
        yield plan, ALONE
        return
    from serving.launch import require_startable
    from serving.nodes.leader import lead
    from serving.nodes.place import find_place, settled
    from serving.nodes.terms import terms_of

    _require_several(plan)
    place = find_place(planning.address, 0, planning.interface)
    require_startable(plan, settings)
    with lead(plan.nodes, place, terms_of(plan), timeout, observe) as leader:
        yield settled(plan, 0, place, os.environ), leader


def joined(
    plan: Plan,
    node: int,
    planning: Planning,
    settings: Settings,
    output: Output,
    timeout: float,
    tell: Callable[[], None],
) -> None:
    """Run this node's part until the first node is stopped; `tell` sends what its start showed."""
    from serving.nodes.member import take_part
    from serving.nodes.place import find_place

    _require_several(plan)
    place = find_place(planning.address, node, planning.interface)
    ready = False
    try:
        with contextlib.ExitStack() as running:
            with output.progress() as observe:
                starting = take_part(plan, node, place, settings, limit=timeout, observe=observe)
                part = running.enter_context(starting)
            ready = True
            tell()
            document = {
                "node": node,
                "first_node": place.first,
                "address": place.address,
                "interface": place.interface,
                "digest": plan.digest,
                "seconds_to_ready": round(part.seconds, 1),
                "log": str(part.log),
            }

            def human(console: Console) -> None:
                console.print(f"ready     node {node} after {part.seconds:.0f} s")
                console.print(f"meets     {place.first} from {place.address} ({place.interface})")
                console.print(f"log       {part.log}")

            output.result(document, human, essential=place.first)
            part.wait()
    except KeyboardInterrupt:
        if not ready:
            raise
    output.note("Stopped; no process of the engine is left.")


def _require_several(plan: Plan) -> None:
    if plan.nodes == 1:
        raise IncompatibleError(
            f"The plan for {plan.artifact} uses one node alone",
            remedy="Leave --nodes out, or ask for more ranks: -- --data-parallel-size N .",
        )
