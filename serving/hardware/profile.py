"""A hardware profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """What one node offers.

    Attributes:
        name: for people and for plans.
        kind: `cpu`; accelerators follow.
        devices: how many a node has.
        memory: bytes of each device that an engine can have.
        cores: processor cores of the node.
    """

    name: str
    kind: str
    devices: int
    memory: int
    cores: int
