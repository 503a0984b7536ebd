"""The hardware that a user asks for: `--hardware`, `--nodes`, `--devices`."""

from __future__ import annotations

from registry.errors import NotFoundError, UsageError
from registry.finding import ERROR
from serving.hardware.catalogue import names, profile
from serving.hardware.cpu import detect_cpu
from serving.hardware.detect import detect_cuda
from serving.hardware.probe import Ask
from serving.hardware.probe import ask as ask_tool
from serving.hardware.profile import Hardware, parse_devices


def parse_hardware(
    text: str, *, nodes: int = 1, devices: str = "", ask: Ask = ask_tool
) -> Hardware:
    """What `--hardware`, `--nodes` and `--devices` ask for.

    Args:
        text: a profile's name, `cpu`, or `cuda` for this machine's own GPUs.
        nodes: how many there are.
        devices: `0-7` or `0,2,4` on each node; all by default.
        ask: runs a tool of a driver with a time limit.

    Raises:
        UsageError: no such hardware, or not that many of it.
    """
    return narrow(_named(text, ask), nodes=nodes, devices=devices)


def narrow(hardware: Hardware, *, nodes: int = 1, devices: str = "") -> Hardware:
    """The same hardware on so many nodes, with these devices of each; raises UsageError."""
    wider = hardware.with_nodes(nodes)
    return wider.with_devices(parse_devices(devices)) if devices else wider


def _named(text: str, ask: Ask) -> Hardware:
    lowered = text.strip().lower()
    if lowered == "cpu":
        return detect_cpu()
    if lowered == "cuda":
        gpus, findings = detect_cuda(ask=ask)
        hidden = next((finding for finding in findings if finding.severity == ERROR), None)
        if hidden is not None:
            raise UsageError(hidden.message, remedy=hidden.fix)
        if gpus is None:
            raise UsageError(
                "--hardware cuda means this machine's GPUs, and nvidia-smi shows none",
                remedy="Name another kind, as in --hardware cuda:H100 .",
            )
        return gpus
    try:
        return profile(text)
    except NotFoundError as error:
        raise UsageError(
            f"There is no hardware {text!r}",
            remedy=f"Known are {', '.join(names())}, cpu, and cuda for this machine's GPUs.",
        ) from error
