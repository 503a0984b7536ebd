"""A plan as a `docker run` command."""

from __future__ import annotations

from serving.plan import Plan
from serving.render.container import START_MINUTES, Container, Mount, container_of
from serving.render.shell import Command, Raw, all_flags, join, quote, script


def render_docker(plan: Plan, *, image: str = "") -> str:
    """The launch in a container, as a script like `render_shell`'s.

    One node has a network of its own and publishes the plan's port at the plan's host; several
    nodes share their machine's network. Only the devices that the plan uses are handed in, so the
    variable that would choose among them is left out.

    Args:
        plan: to run.
        image: in place of the official one, as from a mirror.

    Raises:
        IncompatibleError: no official image is known.
    """
    alone = plan.nodes == 1
    commands = [
        _command(container_of(plan, node, image=image, own_network=alone), alone)
        for node in range(plan.nodes)
    ]
    return script(plan, all_flags(plan), (), commands)


def _command(container: Container, alone: bool) -> Command:
    name = container.name
    lines = [
        ["docker", "run", "--detach", "--init", "--name", name, "--restart", "unless-stopped"],
        ["--shm-size", f"{container.shared_memory}g"],
        ["--publish", published(container)] if alone else ["--network", "host"],
    ]
    lines += [["--device", device] for device in container.devices]
    if container.gpus:
        lines.append(["--gpus", f'"device={",".join(container.gpus)}"'])
    lines += [["--cap-add", capability] for capability in container.capabilities]
    lines += [_mount(mount) for mount in container.mounts]
    lines += [["--env", f"{key}={value}"] for key, value in container.environment.items()]
    if container.answers:
        lines.append(["--health-cmd", join(container.health)])
        lines.append(["--health-start-period", f"{START_MINUTES}m", "--health-interval", "30s"])
    words = list(container.words)
    if container.entrypoint:
        lines.append(["--entrypoint", container.entrypoint[0]])
        words = words[len(container.entrypoint) :]
    return [*lines, [container.image], *arguments(words)]


def published(container: Container) -> str:
    """HOST:PORT:PORT, as Docker takes it."""
    host = {"localhost": "127.0.0.1"}.get(container.host, container.host)
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{container.port}:{container.port}"


def arguments(words: list[str]) -> list[list[str]]:
    """Words by line: each flag begins one."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--") and lines[-1]:
            lines.append([])
        lines[-1].append(word)
    return lines


def _mount(mount: Mount) -> list[str]:
    """The words for a mount; where the machine lacks what it may lack, there are none.

    Docker has no mount that may be missing: `--mount` stops, and `--volume` makes a folder of that
    name on the machine.
    """
    parts = ("type=bind", f"source={mount.source}", f"target={mount.target}", "readonly")
    words = ["--mount", ",".join(map(_field, parts))]
    if not mount.maybe_below:
        return words
    return [Raw(f"$([ ! -e {quote(mount.source)} ] || echo {join(words)})")]


def _field(text: str) -> str:
    """A field of `--mount`, which is read as CSV."""
    return '"{}"'.format(text.replace('"', '""')) if set(text) & set(',"') else text
