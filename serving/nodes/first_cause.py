"""Which of two nodes' errors came first, where one engine's end ends the other."""

from __future__ import annotations

from registry.errors import QregError

# What an engine says when another's end is all that it noticed.
_ECHOES = (
    "closed by peer",
    "reset by peer",
    "Connection closed",
    "Broken pipe",
    "timed out",
    "times out",
)
# Seconds by which ends must be apart to tell their order: nodes look every quarter of a second,
# and a process needs some time to end.
_APART = 1.0


def is_echo(error: object) -> bool:
    """Whether an error says no more than that another node is gone."""
    return isinstance(error, QregError) and any(echo in error.details for echo in _ECHOES)


def first_cause(here: Exception, there: QregError, earlier: float) -> Exception:
    """Of two engines that ended at about the same time, the error that is not just an echo.

    Args:
        here: why this node ended.
        there: why another one did.
        earlier: seconds by which this one ended before the other; negative if it ended later.
    """
    if is_echo(here) != is_echo(there):
        return there if is_echo(here) else here
    return here if earlier > _APART else there
