"""Plans for several nodes: what each node's command and environment have of their own."""

from __future__ import annotations

from typing import Any

import pytest

from registry.errors import UsageError
from serving.engines import open_engine
from serving.hardware.profile import Hardware
from serving.plan import USER, Plan
from serving.resolver import compose_plan
from serving.rules.node_variables import FIRST_NODE, OWN_ADDRESS, OWN_INTERFACE
from serving.wishes import Wishes
from tests.serving.twins import facts_of, plan, said

# What vLLM Ascend's documents set on every node of a launch of several.
ASCEND = {
    "HCCL_IF_IP": OWN_ADDRESS,
    "VLLM_HOST_IP": OWN_ADDRESS,
    "HCCL_SOCKET_IFNAME": OWN_INTERFACE,
    "GLOO_SOCKET_IFNAME": OWN_INTERFACE,
    "TP_SOCKET_IFNAME": OWN_INTERFACE,
}
GPU = Hardware("H100", "cuda", 8, 80 * 2**30, 96)
CPU = Hardware("CPU x86_64", "cpu", 1, 32 * 2**30, 4)


def _elsewhere(engine: str, hardware: Hardware, model: str, **wishes: Any) -> Plan:
    facts = facts_of(model, "FLOAT")
    return compose_plan(facts, Wishes(nodes=2, **wishes), open_engine(engine), hardware)


def _own(made: Plan, node: int) -> dict[str, str]:
    """Variables that only the node's own part has."""
    common = {flag.name for flag in made.flags}
    return {name: value for name, value in made.env_of(node).items() if name not in common}


@pytest.mark.parametrize(("model", "chip"), [("DeepSeek-R1", "A2"), ("Qwen3-32B", "A2")])
def test_every_node_of_npus_has_the_variables_of_its_network(model: str, chip: str) -> None:
    made = plan(facts_of(model, "W8A8"), chip, nodes=2)
    assert made.nodes == 2
    assert _own(made, 0) == _own(made, 1) == ASCEND
    assert made.to_json()["node_env"] == [made.env_of(0), made.env_of(1)]
    assert not set(ASCEND) & set(plan(facts_of("Qwen3-8B", "W8A8"), chip).env)


def test_an_interface_that_the_user_names_is_the_users() -> None:
    made = plan(facts_of("DeepSeek-R1", "W8A8"), "A2", nodes=2, interface="bond0")
    flag = made.flag("HCCL_SOCKET_IFNAME")
    assert flag and (flag.value, flag.source) == ("bond0", USER)
    assert made.env["HCCL_IF_IP"] == OWN_ADDRESS


def test_gpus_and_cpus_of_several_nodes() -> None:
    gpus = _elsewhere("vllm", GPU, "Qwen3-235B-A22B", address="10.0.0.1")
    assert _own(gpus, 1) == {
        "VLLM_HOST_IP": OWN_ADDRESS,
        "NCCL_SOCKET_IFNAME": OWN_INTERFACE,
        "GLOO_SOCKET_IFNAME": OWN_INTERFACE,
    }
    assert "--headless" in gpus.argv_of(1) and "--headless" not in gpus.argv_of(0)
    cpus = _elsewhere("vllm-cpu", CPU, "Qwen3-8B", address="10.0.0.1")
    assert cpus.parallel["data"] == 2
    assert _own(cpus, 1) == {"VLLM_HOST_IP": OWN_ADDRESS, "GLOO_SOCKET_IFNAME": OWN_INTERFACE}
    # Other nodes than the first have no API server, so its module cannot start them.
    assert "vllm.entrypoints.openai.api_server" not in cpus.argv_of(1)


@pytest.mark.parametrize(
    "words", [("-pp", "2"), ("-tp", "2"), ("-dp", "3"), ("--data-parallel-size", "1")]
)
def test_what_vllm_cannot_spread_over_cpus_is_said_in_its_words(words: tuple[str, str]) -> None:
    made = _elsewhere("vllm-cpu", CPU, "Qwen3-8B", address="h", arguments=words)
    assert "SHM communicator" in said(made)["spread"]
    same = _elsewhere("vllm-cpu", CPU, "Qwen3-8B", address="h", arguments=("-dp", "2"))
    assert "spread" not in said(same) and same.argv_of(1).count("--data-parallel-size") == 1


def test_replicas_that_nodes_cannot_share_evenly_are_all_started() -> None:
    made = plan(facts_of("DeepSeek-R1", "W8A8"), "A2", "-tp", "4", "-dp", "5", nodes=3)
    local = [
        (dict(_pairs(made, node)).get("--data-parallel-size-local"),
         dict(_pairs(made, node)).get("--data-parallel-start-rank"))
        for node in range(3)
    ]  # fmt: skip
    assert local == [("2", None), ("2", "2"), ("1", "4")]


def _pairs(made: Plan, node: int) -> list[tuple[str, str | None]]:
    return [(flag.name, flag.value) for flag in made.node_flags[node]]


def test_several_nodes_are_used_where_they_are_asked_for() -> None:
    made = plan(facts_of("Qwen3-8B", "W8A8"), "A2", nodes=2)
    assert made.nodes == 2 and "--nnodes" in made.argv_of(1)
    assert "one is enough" in said(made)["nodes"]
    assert FIRST_NODE in made.argv_of(1) and "address" in said(made)


def test_what_the_user_gives_wins_over_a_nodes_own() -> None:
    made = plan(facts_of("DeepSeek-R1", "W8A8"), "A2", "--data-parallel-rpc-port", "7777", nodes=2)
    for node in range(2):
        words = made.argv_of(node)
        assert words.count("--data-parallel-rpc-port") == 1 and "7777" in words


def test_a_release_without_nnodes_is_told_before_the_launch() -> None:
    facts = facts_of("Qwen3-32B", "W8A8")
    assert "--nnodes" in said(plan(facts, "A2", release="0.11.0", nodes=2))["stages"]
    assert "stages" not in said(plan(facts, "A2", release="0.13.0", nodes=2))


def test_the_command_line_asks_for_what_is_missing() -> None:
    from qreg.cli.nodes import number_of
    from qreg.cli.planning import Planning

    def asked(nodes: int, node: int | None, address: str = "h") -> int | None:
        return number_of(
            Planning(None, None, None, None, nodes, "latency", "", None, address, "", False, ()),
            node,
        )

    assert asked(1, None) is None and asked(1, 0) is None and asked(2, 1) == 1
    for nodes, node, address, message in (
        (2, None, "h", "it is not said which of them this is"),
        (2, 2, "h", "--node 2 is none of 2 nodes"),
        (2, 0, "", "need the address of the first one"),
        (1, 1, "h", "--node 1 needs --nodes"),
    ):
        with pytest.raises(UsageError, match=message):
            asked(nodes, node, address)
