"""Where a node stands in the network between the nodes: its own address and its interface."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace

from registry.errors import NotFoundError, TransferError, UsageError
from serving.plan import Flag, Plan
from serving.rules.node_variables import OWN_ADDRESS, OWN_INTERFACE

_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True)
class Place:
    """Where a node is reached by the others.

    Attributes:
        address: its own, `10.0.0.2`.
        interface: that has the address, `eth0`.
        first: the first node's address, a number.
    """

    address: str
    interface: str
    first: str


def find_place(first: str, node: int, interface: str = "") -> Place:
    """Find this machine's address and interface on the way to the first node.

    The route that the kernel takes to the first node decides (a connected UDP socket; no packet is
    sent), unless the user names the interface.

    Args:
        first: the first node's address or name.
        node: this node's number, from 0.
        interface: that the user names; empty for the one on the route.

    Raises:
        NotFoundError: no machine has the first node's name; no interface has the name given.
        UsageError: the interface has no address; this is the first node and the address is none of
            this machine's.
        TransferError: there is no route to the first node.
    """
    addresses = own_addresses()
    number = _resolved(first)
    if node == 0 and not _is_own(number):
        raise UsageError(
            f"{first} is none of this machine's addresses, and node 0 must be reached at it",
            remedy=f"This machine has {_listed(addresses)}. Give one of them as --address on all "
            "nodes, or the number of another node.",
        )
    if interface:
        return Place(_address_of(interface, number, addresses), interface, number)
    own = number if node == 0 else _route(first, number)
    name = next((name for name, every in addresses.items() if own in every), "")
    if not name and ipaddress.ip_address(own).is_loopback:
        name = next((name for name, every in addresses.items() if "127.0.0.1" in every), "")
    if not name:
        raise NotFoundError(
            f"No interface of this machine has the address {own}, which leads to {first}",
            remedy=f"Name one with --interface : {_listed(addresses)}.",
        )
    return Place(own, name, number)


def own_addresses() -> dict[str, tuple[str, ...]]:
    """This machine's addresses by interface, IPv4 first; without those of one link alone."""
    import psutil

    return {
        name: tuple(
            a.address
            for family in _FAMILIES
            for a in every
            if a.family == family and not a.address.lower().startswith("fe80:")
        )
        for name, every in psutil.net_if_addrs().items()
    }


def settled(plan: Plan, node: int, place: Place, environment: Mapping[str, str]) -> Plan:
    """A plan with one node's own address and interface in place of the words for them.

    Args:
        plan: for all nodes.
        node: this one's number.
        place: where it stands.
        environment: of this process; variables that the user has set there win.
    """
    values = {OWN_ADDRESS: place.address, OWN_INTERFACE: place.interface}

    def own(flag: Flag) -> Flag:
        if flag.is_environment and flag.name in environment:
            return replace(flag, value=environment[flag.name])
        return replace(flag, value=values.get(flag.value or "", flag.value))

    flags = list(plan.node_flags)
    flags[node] = tuple(map(own, flags[node]))
    return replace(plan, node_flags=tuple(flags))


def _resolved(name: str) -> str:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotFoundError(
            f"The first node's address {name!r} is not known here: {error}",
            remedy="Give its number, such as --address 10.0.0.1 , or a name that this machine "
            "resolves.",
        ) from error
    return str(found[0][4][0])


def _is_own(number: str) -> bool:
    family = socket.AF_INET6 if ":" in number else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((number, 0))
        except OSError:
            return False
    return True


def _route(first: str, number: str) -> str:
    family = socket.AF_INET6 if ":" in number else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((number, 9))  # decides the route only
        except OSError as error:
            raise TransferError(
                f"There is no way from this machine to the first node {first}: {error.strerror}",
                remedy="Check the network, or name the interface with --interface .",
            ) from error
        return str(probe.getsockname()[0])


def _address_of(interface: str, first: str, addresses: Mapping[str, tuple[str, ...]]) -> str:
    if interface not in addresses:
        raise NotFoundError(
            f"This machine has no network interface {interface}",
            remedy=f"It has {_listed(addresses)}.",
        )
    version = ipaddress.ip_address(first.partition("%")[0]).version
    fitting = [
        address
        for address in addresses[interface]
        if ipaddress.ip_address(address.partition("%")[0]).version == version
    ]
    if first in fitting:
        return first
    if not fitting:
        raise UsageError(
            f"The network interface {interface} has no IPv{version} address",
            remedy=f"Choose one that has: {_listed(addresses)}.",
        )
    return fitting[0]


def _listed(addresses: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{name} ({every[0]})" for name, every in addresses.items() if every)
