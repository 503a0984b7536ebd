"""How a node joins the first one: it says which node it is and what its plan is."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from registry.errors import IncompatibleError, QregError, TransferError
from registry.progress import Observer, Progress
from serving.nodes.place import Place
from serving.nodes.terms import terms_of
from serving.nodes.wire import Gone, Wire
from serving.plan import Plan

_TRY = 1.0  # seconds between two attempts to reach the first node


def join(plan: Plan, node: int, place: Place, port: int, limit: float, observe: Observer) -> Wire:
    """The connection to the first node, once that has let this one join.

    Args:
        plan: of all nodes.
        node: this one's number, from 1.
        place: where it stands.
        port: where the first node listens.
        limit: seconds until it must answer.
        observe: is told who is waited for.

    Raises:
        TransferError: the first node did not answer in time, or something else answers there.
        IncompatibleError: it has another plan, or another node with this number.
    """
    observe(Progress(f"waiting for the first node at {place.first}:{port}"))
    deadline = time.monotonic() + limit
    while True:
        try:
            source = (place.address, 0)
            connection = socket.create_connection((place.first, port), _TRY * 5, source)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise TransferError(
                    f"The first node did not answer at {place.first}:{port} within {limit:.0f} "
                    f"seconds: {error.strerror or error}",
                    remedy="Start `qreg serve` there with --node 0 , and let this machine reach "
                    "that port. --timeout gives it more time.",
                ) from error
            time.sleep(_TRY)
    wire = Wire(connection)
    try:
        wire.say("hello", node=node, terms=terms_of(plan))
        answer = wire.hear()
        while answer.get("say") == "alive":
            answer = wire.hear()
    except Gone as gone:
        wire.close()
        raise TransferError(
            f"What listens at {place.first}:{port} did not let this node join: {gone}",
            remedy="Check that qreg serve --node 0 of the same version runs there.",
        ) from gone
    if answer.get("say") != "welcome":
        wire.close()
        raise _refused(answer, plan, node)
    return wire


def _refused(answer: Mapping[str, object], plan: Plan, node: int) -> QregError:
    differs = answer.get("differs")
    if not isinstance(differs, list):
        why = answer.get("why")
        return IncompatibleError(
            f"The first node refused node {node}: {why if isinstance(why, str) else 'no reason'}",
            remedy="Give each node a number of its own, and all the same --nodes .",
        )
    names = [name for name in differs if isinstance(name, str)][:20]
    here = [f"{name} {plan.value(name) or ''}".strip() for name in names]
    return IncompatibleError(
        f"The plan of node {node} is not that of the first node. What differs: "
        f"{', '.join(here) or 'flags that only the first node has'}",
        remedy="Serve the same artifact with the same release and arguments on all nodes; what was "
        "derived from each machine can be given on all: flags after -- , variables by export.",
    )
