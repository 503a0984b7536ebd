"""A plan as a compose file."""

from __future__ import annotations

from typing import Any

from serving.plan import Plan
from serving.render.container import START_MINUTES, Container, Mount, container_of
from serving.render.docker import published
from serving.render.shell import all_flags
from serving.render.text import (
    ASKED,
    OWN_ADDRESS,
    comments,
    header,
    is_asked,
    reasons,
    to_yaml,
)


def render_compose(plan: Plan, *, image: str = "") -> str:
    """The launch as a compose file; for several nodes with a service for each.

    Args:
        plan: to run.
        image: in place of the official one, as from a mirror.

    Raises:
        IncompatibleError: no official image is known.
    """
    alone = plan.nodes == 1
    services = {
        "server" if alone else f"node{node}": _service(
            container_of(plan, node, image=image, own_network=alone), alone
        )
        for node in range(plan.nodes)
    }
    usage = ["docker compose up --detach"]
    # Compose has no mount that may be missing: what this machine has is asked of the shell.
    mounts = container_of(plan, 0, image=image, own_network=alone).mounts
    asked = [f"{_variable(m)}=$(ls {m.source} 2>/dev/null)" for m in mounts if m.maybe_below]
    usage = [" ".join([*asked, *usage])]
    if not alone:
        usage = [f"On each node, with its number from 0 to {plan.nodes - 1}: {usage[0]} node0"]
    if is_asked(plan, OWN_ADDRESS):
        usage.append(
            "OWN_ADDRESS and OWN_INTERFACE in the environment are where the node meets the others: "
            "`ip route get FIRST_NODE` and `ip address` show them."
        )
    head = [*header(plan), *comments(usage), "#", *reasons(all_flags(plan))]
    return "\n".join([*head, to_yaml({"services": services})])


def _service(container: Container, alone: bool) -> dict[str, Any]:
    words = container.words[len(container.entrypoint) :]
    service: dict[str, Any] = {"image": container.image, "container_name": container.name}
    if container.entrypoint:
        service["entrypoint"] = list(container.entrypoint)
    service["command"] = [_literal(word) for word in words]
    service["environment"] = {k: _literal(v) for k, v in container.environment.items()}
    if container.devices:
        service["devices"] = [f"{device}:{device}" for device in container.devices]
    if container.gpus:
        gpus = {"driver": "nvidia", "device_ids": list(container.gpus), "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [gpus]}}}
    if container.capabilities:
        service["cap_add"] = list(container.capabilities)
    service["volumes"] = [
        {
            "type": "bind",
            "source": f"${{{_variable(mount)}:-/dev/null}}"
            if mount.maybe_below
            else _literal(mount.source),
            "target": _literal(mount.target),
            "read_only": True,
            "bind": {"create_host_path": False},
        }
        for mount in container.mounts
    ]
    if alone:
        service["ports"] = [published(container)]
    else:
        service["network_mode"] = "host"
    service |= {
        "shm_size": f"{container.shared_memory}gb",
        "init": True,
        "restart": "unless-stopped",
    }
    if container.answers:
        service["healthcheck"] = {
            "test": ["CMD", *container.health],
            "interval": "30s",
            "timeout": "10s",
            "start_period": f"{START_MINUTES}m",
        }
    return service


def _variable(mount: Mount) -> str:
    """What tells compose where a file is that a machine may lack; an empty one is mounted else."""
    return mount.name.upper().replace("-", "_")


def _literal(word: str) -> str:
    """A word that compose does not interpolate, but for what each machine has a value for."""
    word = word.replace("$", "$$")
    for name, asked in ASKED.items():
        word = word.replace(name, asked)
    return word
