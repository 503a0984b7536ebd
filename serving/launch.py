"""Launching a plan: start the engine, wait until it answers, prove that it is the one started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.config import Settings
from registry.errors import IncompatibleError, IntegrityError, QregError, ToolError, UsageError
from registry.progress import Observer, ignore
from serving.engines import Engine, open_engine
from serving.evidence.engine_log import StartWatch
from serving.evidence.record import new_identity
from serving.evidence.start import keep_failed, keep_ready
from serving.failures import ended, never_ready, require_free_memory
from serving.identity import process_tree, require_free_port, strangers_on
from serving.nodes.group import ALONE, Group
from serving.plan import Plan
from serving.probe import is_healthy
from toolchains import Tool, Toolchain, find_toolchain
from toolchains.environment import ENGINE_SECRETS
from toolchains.interpreter import python_environment
from toolchains.process import started

START_LIMIT = 1800.0  # seconds; loading a large model from a slow disk takes long
_POLL = 0.25


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        url: its base, `http://127.0.0.1:8000`.
        plan: what it was started from.
        tool: its processes and log.
        seconds: from start to ready.
        launch: identity of this launch among the evidence on record.
    """

    url: str
    plan: Plan
    tool: Tool
    seconds: float
    launch: str = ""

    @property
    def log(self) -> Path:
        """The engine's log, whole."""
        return self.tool.log

    def check_identity(self) -> None:
        """Prove that whoever listens on the port is a process that this launch started.

        Raises:
            IntegrityError: someone else listens there, too or instead.
        """
        _, port = address_of(self.plan)
        strangers = strangers_on(port, process_tree(self.tool.supervisor_pid))
        if strangers:
            raise IntegrityError(
                f"Port {port} is answered by {strangers}, not by the server that was started",
                remedy="End that program or choose another --port .",
            )

    def require_alive(self, patience: float = 5.0) -> None:
        """Raise ToolError if the engine has ended, or does within `patience` seconds."""
        deadline = time.monotonic() + patience
        while self.tool.running and time.monotonic() < deadline:
            time.sleep(_POLL)
        if not self.tool.running:
            raise self._ended()

    def wait(self) -> None:
        """Wait as long as the engine runs.

        Raises:
            ToolError: it ended by itself.
        """
        while self.tool.running:
            time.sleep(_POLL)
        raise self._ended()

    def _ended(self) -> ToolError:
        return how_it_ended(self.plan, self.tool, "while serving")


@contextmanager
def launch(
    plan: Plan,
    settings: Settings,
    *,
    limit: float = START_LIMIT,
    observe: Observer = ignore,
    group: Group = ALONE,
) -> Iterator[Server]:
    """Start a plan's engine for the time of a block; its whole process tree ends with it.

    What the start showed is kept as evidence, also if it failed.

    Args:
        plan: to start, on this machine.
        settings: name the toolchain, the logs and where evidence is kept.
        limit: seconds until it must answer.
        observe: is told the engine's steps.
        group: the other nodes, which can end the engine and know what ended them.

    Raises:
        IncompatibleError: the plan has errors, or takes memory that is not free.
        NotFoundError: the engine's toolchain is not installed.
        UsageError: the port is taken.
        ToolError: the engine died at start-up, or was not ready within `limit` seconds.
        IntegrityError: someone else answers on the port.
    """
    toolchain = require_startable(plan, settings)
    engine = open_engine(plan.engine)
    host, port = address_of(plan)
    log = settings.new_log(f"serve-{plan.artifact}")
    with (
        started(
            plan.argv,
            log=log,
            env={**python_environment(toolchain, observe=observe), **plan.env},
            cwd=working_folder(settings),
            secrets=ENGINE_SECRETS,
        ) as tool,
        group.hold(tool),
    ):
        url = f"http://{_reachable(host)}:{port}"
        identity, watch = new_identity(), StartWatch(engine.steps)
        try:
            _wait_until_ready(plan, engine, tool, url, limit, observe, watch)
            server = Server(url, plan, tool, watch.seconds, identity)
            server.check_identity()
        except QregError as error:
            cause = group.cause_of(error)
            keep_failed(identity, plan, tool, watch, settings, cause, observe=observe)
            raise
        keep_ready(identity, plan, tool, watch, settings, observe=observe)
        yield server


def require_startable(plan: Plan, settings: Settings) -> Toolchain:
    """The toolchain of a plan's engine, once nothing that can be seen now stops its start here.

    Raises:
        IncompatibleError: the plan has errors, or takes memory that is not free.
        NotFoundError: the engine's toolchain is not installed.
        UsageError: the port is taken.
    """
    require_launchable(plan)
    toolchain = find_toolchain(open_engine(plan.engine).toolchain, settings)
    require_free_port(*address_of(plan))
    require_free_memory(plan)
    return toolchain


def require_launchable(plan: Plan) -> None:
    """Raise IncompatibleError with the plan's first error, if it has one."""
    if plan.errors:
        first = plan.errors[0]
        raise IncompatibleError(
            first.message, remedy=first.fix, details="\n".join(e.message for e in plan.errors[1:])
        )


def address_of(plan: Plan) -> tuple[str, int]:
    """Host and port that a plan listens on."""
    port = plan.value("--port") or "8000"
    if not port.isdigit():
        raise UsageError(f"{port!r} is not a port", remedy="Choose one from 1 to 65535.")
    return plan.value("--host") or "127.0.0.1", int(port)


def _wait_until_ready(
    plan: Plan,
    engine: Engine,
    tool: Tool,
    url: str,
    limit: float,
    observe: Observer,
    watch: StartWatch,
) -> None:
    deadline = time.monotonic() + limit
    stage, furthest = "", 0.0
    while time.monotonic() < deadline:
        for line in tool.lines():
            watch.see(line)
            progress = engine.read_line(line)
            # Workers repeat one another's lines; a step that was passed does not come back.
            if progress is not None and (progress.done or furthest) >= furthest:
                stage, furthest = progress.stage, progress.done or furthest
                observe(progress)
        if not tool.running:
            raise ended(plan.engine, "at start-up", tool.wait().code, tool.log, engine.failures)
        if is_healthy(url):
            return
        time.sleep(_POLL)
    raise never_ready(plan.engine, limit, stage, tool.log, engine.failures)


def how_it_ended(plan: Plan, tool: Tool, when: str) -> ToolError:
    """Why an engine that has ended did so; `when` is `at start-up` or `while serving`."""
    return ended(
        plan.engine,
        when,
        tool.wait().code,
        tool.log,
        open_engine(plan.engine).failures,
        serving=when == "while serving",
    )


def working_folder(settings: Settings) -> Path:
    """Where engines run: not the user's folder, whose names could shadow the engine's modules."""
    settings.logs.mkdir(parents=True, exist_ok=True)
    return settings.logs


def _reachable(host: str) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{name}]" if ":" in name else name
