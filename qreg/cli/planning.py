"""What the commands that plan a launch have in common: their options, and the plan itself."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from registry.config import Settings
from registry.finding import INFO, WARNING
from registry.progress import Note, Observer
from serving.wishes import GOALS, LATENCY, ROLES, Wishes

if TYPE_CHECKING:
    from serving.plan import Plan

F = TypeVar("F", bound=Callable[..., Any])
_NODES = click.IntRange(1, 1024)


@dataclass(frozen=True)
class Planning:
    """What the user said about how to serve."""

    engine: str | None
    hardware: str | None
    devices: str | None
    release: str | None
    nodes: int
    goal: str
    role: str
    peer: tuple[int, int] | None
    address: str
    interface: str
    trust_remote_code: bool
    engine_arguments: tuple[str, ...]

    def plan(
        self,
        reference: str,
        settings: Settings,
        observe: Observer,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
    ) -> Plan:
        """Plan the launch of a reference."""
        from serving.resolver import make_plan

        wishes = Wishes(
            host=host,
            port=port,
            trust_remote_code=self.trust_remote_code,
            arguments=self.engine_arguments,
            environment=os.environ,
            nodes=self.nodes,
            goal=self.goal,
            role=self.role,
            address=self.address,
            interface=self.interface,
            peer=self.peer,
        )
        return make_plan(
            reference,
            wishes,
            settings,
            engine=self.engine,
            hardware=self.hardware,
            devices=self.devices,
            release=self.release,
            observe=observe,
        )


def prepare(
    planning: Planning,
    reference: str,
    settings: Settings,
    observe: Observer,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> Plan:
    """Plan a launch on this machine, bring the artifact here and verify it.

    What does not fit is refused before anything is moved. The plan's warnings are told first.
    """
    from registry.checkpoint.remote_code import trusted_code
    from registry.transfer.pulling import bring_here, pull
    from serving.launch import require_launchable

    planning = replace(planning, interface="")  # each node's own, where the plan is everyone's
    plan = planning.plan(reference, settings, observe, host=host, port=port)
    told = _tell(plan, observe)
    require_launchable(plan)
    exact = bring_here(reference, settings, observe)
    pulled = pull(exact, settings, observe=observe)
    if str(pulled.folder.absolute()) != plan.folder:  # what is launched is what is verified
        plan = planning.plan(exact, settings, observe, host=host, port=port)
        _tell(plan, observe, told)
        require_launchable(plan)
    if any(flag.name == "--trust-remote-code" for flag in plan.flags):
        trusted_code(pulled.folder, pulled.manifest.name, observe)
    return replace(plan, digest=str(pulled.manifest.digest))


def _tell(plan: Plan, observe: Observer, told: frozenset[str] = frozenset()) -> frozenset[str]:
    """Tell a plan's warnings, and what hides devices, if not told yet; all that was told by now."""
    news = {
        f"{finding.message}. {finding.fix}".rstrip(): finding.severity == WARNING
        for finding in plan.findings
        if finding.severity == WARNING
        or (finding.severity == INFO and finding.id == "visible-devices")
    }
    for text, warning in news.items():
        if text not in told:
            observe(Note(text, warning=warning))
    return told | frozenset(news)


class _Sizes(click.ParamType[Any]):
    """`4x8`: tensor × data parallel sizes."""

    name = "TPxDP"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        first, _, second = str(value).lower().partition("x")
        if not (first.isdigit() and second.isdigit() and int(first) and int(second)):
            self.fail(f"{value!r} is not TPxDP, such as 4x8", param, ctx)
        return int(first), int(second)


def planning_options(function: F) -> F:
    """Add how to serve; the function gets all of it as `planning`."""
    names = tuple(Planning.__dataclass_fields__)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        planning = Planning(**{name: kwargs.pop(name) for name in names})
        return function(*args, planning=planning, **kwargs)

    found: Any = wrapper
    for decorate in reversed(_OPTIONS):
        found = decorate(found)
    return found  # type: ignore[no-any-return]


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--engine", help="What runs it; by default what the hardware needs."),
    click.option("--hardware", metavar="NAME", help="A2, A3, 310P, …; by default what is here."),
    click.option("--devices", metavar="LIST", help="Use only these: 0-7 or 0,2,4 ."),
    click.option("--nodes", default=1, type=_NODES, help="Machines of that kind."),
    click.option("--release", metavar="VERSION", help="Of vLLM Ascend; by default the installed."),
    click.option(
        "--goal",
        default=LATENCY,
        show_default=True,
        type=click.Choice(GOALS),
        help="What the layout is chosen for.",
    ),
    click.option(
        "--role",
        default="",
        type=click.Choice(["", *ROLES]),
        metavar="[prefill|decode]",
        help="Its part of a split deployment.",
    ),
    click.option("--peer", type=_Sizes(), help="Sizes of the other part, as 4x8 ."),
    click.option("--address", default="", help="Of the first of several nodes."),
    click.option(
        "--interface",
        default="",
        metavar="NAME",
        help="Of the network between nodes; by default on the route to the first.",
    ),
    click.option("--trust-remote-code", is_flag=True, help="Let the model's own Python code run."),
    click.argument(
        "engine_arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]..."
    ),
)
