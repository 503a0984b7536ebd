"""Variables that each of several nodes needs for itself: its address and its network interface.

A plan is the same on all nodes, so it holds a word that stands for the value of each node. A launch
puts in what it finds on its machine; a script finds it where it runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from serving.plan import HARDWARE, USER, Flag
from serving.rules.situation import Situation

# Stands for the first node's address where the user did not give it; scripts ask for it.
FIRST_NODE = "FIRST_NODE_ADDRESS"
# Stand for what each node finds on itself: by the route to the first node.
OWN_ADDRESS = "OWN_ADDRESS"
OWN_INTERFACE = "OWN_INTERFACE"

_INTERFACES = {
    "npu": (
        ("HCCL_SOCKET_IFNAME", "NPUs of several nodes meet over it"),
        ("GLOO_SOCKET_IFNAME", "torch's groups on the CPU talk over it"),
        ("TP_SOCKET_IFNAME", "torch's remote calls go over it"),
    ),
    "cuda": (
        ("NCCL_SOCKET_IFNAME", "GPUs of several nodes meet over it"),
        ("GLOO_SOCKET_IFNAME", "torch's groups on the CPU talk over it"),
    ),
    "cpu": (("GLOO_SOCKET_IFNAME", "torch's groups talk over it"),),
}
_EVIDENCE = {
    "npu": "vLLM Ascend sets them in every launch of several nodes in its documentation "
    "(HCCL_IF_IP 137 times)",
    "cuda": "NCCL's and Gloo's own variables; without them each takes the interface it likes best",
    "cpu": "Gloo's own variable; without it the address of the host's name is taken",
}


def variables(s: Situation) -> Iterator[Flag]:
    """The variables of one node, the same flags for each of them."""
    kind = s.hardware.kind
    why = _EVIDENCE.get(kind, "")
    address = "this node's address on the way to the first node"
    yield Flag("VLLM_HOST_IP", OWN_ADDRESS, f"vLLM listens at {address}", HARDWARE, evidence=why)
    if kind == "npu":
        reason = f"HCCL listens at {address}"
        yield Flag("HCCL_IF_IP", OWN_ADDRESS, reason, HARDWARE, evidence=why)
    given = s.wishes.interface
    for name, reason in _INTERFACES.get(kind, ()):
        source = USER if given else HARDWARE
        yield Flag(name, given or OWN_INTERFACE, reason, source, evidence=why)
