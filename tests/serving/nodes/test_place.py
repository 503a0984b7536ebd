"""A node's own address and interface, in two network namespaces; needs root."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from registry.errors import NotFoundError, UsageError
from serving.nodes.place import Place, find_place, settled
from serving.rules.node_variables import OWN_ADDRESS, OWN_INTERFACE
from tests.serving.nodes.networks import Machine, two_machines
from tests.serving.render.plans import THREE_NODES

FINDS = """
import json, sys
from dataclasses import asdict
from serving.nodes.place import find_place
from registry.errors import QregError
try:
    print(json.dumps(asdict(find_place(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
except QregError as error:
    print(json.dumps([error.exit_code, error.message, error.remedy]))
"""


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[Machine, Machine]]:
    with two_machines() as both:
        yield both


def _find(machine: Machine, first: str, node: int, interface: str = "") -> object:
    done = subprocess.run(
        [*machine.inside, sys.executable, "-c", FINDS, first, str(node), interface],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.machines
def test_each_node_finds_itself_by_the_route(machines: tuple[Machine, Machine]) -> None:
    for node, machine in enumerate(machines):
        expected = {"address": machine.address, "interface": machine.interface}
        for interface in ("", machine.interface):
            found = _find(machine, "10.77.0.1", node, interface)
            assert found == {**expected, "first": "10.77.0.1"}


@pytest.mark.machines
def test_a_first_node_with_another_machines_address(machines: tuple[Machine, Machine]) -> None:
    code, message, remedy = _list(_find(machines[1], "10.77.0.1", 0))
    assert code == 2 and "none of this machine's addresses" in str(message)
    assert f"{machines[1].interface} (10.77.0.2)" in str(remedy)


@pytest.mark.machines
def test_no_way_to_the_first_node(machines: tuple[Machine, Machine]) -> None:
    code, message, _ = _list(_find(machines[1], "192.0.2.1", 1))
    assert code == 7 and "no way from this machine to the first node 192.0.2.1" in str(message)


def _list(found: object) -> list[object]:
    assert isinstance(found, list)
    return found


def test_what_is_not_there_is_told_with_what_is() -> None:
    with pytest.raises(NotFoundError, match="no network interface eth77") as caught:
        find_place("127.0.0.1", 1, "eth77")
    assert "lo (127.0.0.1)" in caught.value.remedy
    with pytest.raises(NotFoundError, match="is not known here"):
        find_place("no-such-host.invalid", 1)


def test_an_interface_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {"eth0": ("10.0.0.5",), "ib0": ()}
    monkeypatch.setattr("serving.nodes.place.own_addresses", lambda: addresses)
    with pytest.raises(UsageError, match="ib0 has no IPv4 address") as caught:
        find_place("10.0.0.1", 1, "ib0")
    assert "eth0 (10.0.0.5)" in caught.value.remedy


def test_a_plan_gets_the_nodes_own_values_and_no_others() -> None:
    place = Place("10.0.0.9", "bond0", "10.0.0.7")
    here = settled(THREE_NODES, 1, place, {})
    assert here.env_of(1)["HCCL_IF_IP"] == "10.0.0.9"
    assert here.env_of(1)["GLOO_SOCKET_IFNAME"] == "bond0"
    assert here.env_of(2)["HCCL_IF_IP"] == OWN_ADDRESS
    assert here.argv_of(1) == THREE_NODES.argv_of(1)
    assert here.env_of(1)["HCCL_OP_EXPANSION_MODE"] == "AIV"
    mine = settled(THREE_NODES, 0, place, {"HCCL_IF_IP": "10.9.9.9"})
    assert mine.env["HCCL_IF_IP"] == "10.9.9.9"
    assert THREE_NODES.env["GLOO_SOCKET_IFNAME"] == OWN_INTERFACE
