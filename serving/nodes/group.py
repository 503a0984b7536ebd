"""The nodes that serve one model, as the launch of the engine here sees them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from toolchains import Tool


class Group(Protocol):
    """Other nodes, whose ends and that of the engine here belong together."""

    def hold(self, tool: Tool) -> AbstractContextManager[None]:
        """For the time of a block, end the engine here when another node ends, and tell the others.

        Args:
            tool: processes and log of the engine here.
        """

    def cause_of(self, error: Exception) -> Exception | None:
        """What ended all nodes.

        Args:
            error: what ended this one.

        Returns:
            `error`, or what ended another node before it; None if that one was stopped as it should
            be.
        """

    def announce(self) -> None:
        """Tell the others that the server answers."""


class Alone:
    """In place of a group, where there is one node."""

    def hold(self, tool: Tool) -> AbstractContextManager[None]:
        """Nothing else can end it."""
        return nullcontext()

    def cause_of(self, error: Exception) -> Exception | None:
        """Its own error."""
        return error

    def announce(self) -> None:
        """Nobody waits for it."""


ALONE = Alone()
