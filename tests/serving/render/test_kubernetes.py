"""Manifests, held against Kubernetes' own schemas and LeaderWorkerSet's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from registry.errors import IncompatibleError
from serving.plan import Plan
from serving.render import render
from tests.serving.render.plans import (
    AWKWARD,
    ON_CPU,
    ON_CUDA,
    ONE_NODE,
    THREE_NODES,
    in_container,
)

VERSIONS = ("1.29", "1.33", "1.37")
# LeaderWorkerSet's CRD, `leaderworkerset.x-k8s.io_leaderworkersets.yaml` of its releases: no
# package has it, so the whole object is held against it where this names the file.
CRD = os.environ.get("QREG_LWS_CRD", "")
FOLDER = ONE_NODE.folder


def _manifests(plan: Plan, **options: str) -> list[dict[str, Any]]:
    documents = list(yaml.safe_load_all(render(plan, "kubernetes", **options)))
    for document in documents:
        for version in VERSIONS:
            if document["kind"] == "LeaderWorkerSet":
                for pod in _templates(document):
                    template = {"apiVersion": "v1", "kind": "Pod", **pod}
                    kubernetes_validate.validate(template, version, strict=True)
            else:
                kubernetes_validate.validate(document, version, strict=True)
    return documents


def _templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    group = document["spec"]["leaderWorkerTemplate"]
    return [group["leaderTemplate"], group["workerTemplate"]]


def _server(template: dict[str, Any]) -> dict[str, Any]:
    (server,) = template["spec"]["containers"]
    return dict(server)


def _expanded(text: str, variables: dict[str, str]) -> str:
    """As Kubernetes expands `args` and `env`: known variables, `$$`, and nothing else."""
    return re.sub(
        r"\$\$|\$\(([^)]*)\)",
        lambda m: "$" if m[0] == "$$" else variables.get(m[1], m[0]),
        text,
    )


def test_one_node_is_a_deployment_with_a_service() -> None:
    deployment, service = _manifests(ONE_NODE)
    server = _server(deployment["spec"]["template"])
    assert [_expanded(word, {}) for word in server["args"]] == in_container(
        ONE_NODE, 0, FOLDER, "", "0.0.0.0"
    )
    environment = {entry["name"]: _expanded(entry["value"], {}) for entry in server["env"]}
    assert environment == {"HCCL_OP_EXPANSION_MODE": "AIV", "AWKWARD": AWKWARD}
    assert server["resources"] == {"limits": {"huawei.com/Ascend910": "4"}}
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= labels
    (port,) = service["spec"]["ports"]
    assert port["port"] == server["ports"][0]["containerPort"] == 8123
    assert deployment["metadata"]["annotations"]["qreg/artifact"].endswith(ONE_NODE.digest)


def test_the_judge_can_say_no() -> None:
    deployment, _ = _manifests(ONE_NODE)
    _server(deployment["spec"]["template"])["startupProbe"]["failureTreshold"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_loading_may_take_an_hour_before_the_pod_is_restarted() -> None:
    server = _server(_manifests(ONE_NODE)[0]["spec"]["template"])
    startup = server["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 3600
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"] == {"path": "/health", "port": "http"}


def test_volumes() -> None:
    pod = _manifests(ONE_NODE)[0]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in _server({"spec": pod})["volumeMounts"]}
    assert set(volumes) == set(mounts)
    assert volumes["model"]["hostPath"] == {"path": FOLDER, "type": "Directory"}
    assert mounts["model"] == {"name": "model", "mountPath": FOLDER, "readOnly": True}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "5Gi"}
    assert volumes["npu-smi"]["hostPath"]["type"] == "File"
    pod = _manifests(ONE_NODE, claim="models")[0]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}


def test_files_that_a_host_may_lack_are_copied_before(tmp_path: Path) -> None:
    pod = _templates(_manifests(THREE_NODES)[0])[1]["spec"]
    assert "/etc/hccn.conf" not in [v.get("hostPath", {}).get("path") for v in pod["volumes"]]
    (before,) = pod["initContainers"]
    mounts = {m["mountPath"]: m for m in _server({"spec": pod})["volumeMounts"]}
    names = {v["name"] for v in pod["volumes"]}
    assert {m["name"] for m in [*mounts.values(), *before["volumeMounts"]]} == names
    (tmp_path / "found").mkdir()
    (tmp_path / "host/etc").mkdir(parents=True)
    (tmp_path / "host/etc/hccn.conf").write_text("address_0=10.0.0.1\n")
    script = re.sub("/(host|found)/", rf"{tmp_path}/\1/", before["command"][2])
    subprocess.run(["sh", "-e", "-c", script], check=True, stderr=subprocess.DEVNULL)
    kept = {m["mountPath"]: m["subPath"] for m in mounts.values() if "subPath" in m}
    found = tmp_path / "found"
    assert (found / kept["/etc/hccn.conf"]).read_text() == "address_0=10.0.0.1\n"
    assert (found / kept["/usr/local/Ascend/driver/tools/hccn_tool"]).read_text() == ""
    assert "initContainers" not in _manifests(ONE_NODE)[0]["spec"]["template"]["spec"]


@pytest.mark.parametrize("plan", [THREE_NODES, replace(THREE_NODES, engine="vllm")])
def test_every_node_of_a_group_starts_its_own_command(plan: Plan, tmp_path: Path) -> None:
    group, service = _manifests(plan)
    assert group["spec"]["leaderWorkerTemplate"]["size"] == 3
    tool = tmp_path / "vllm"
    tool.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdout.write('\\0'.join(['vllm', *sys.argv[1:]]))\n"
    )
    tool.chmod(0o755)
    for node in range(3):
        server = _server(_templates(group)[min(node, 1)])
        variables = {"LWS_LEADER_ADDRESS": "leader.here", "LWS_WORKER_INDEX": str(node)}
        words = [_expanded(w, variables) for w in (*server.get("command", ()), *server["args"])]
        done = subprocess.run(
            words,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables},
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode().split("\0") == in_container(
            plan, node, FOLDER, "leader.here", "0.0.0.0"
        )
        assert ("startupProbe" in server) == (node == 0)
        environment = {variable["name"]: variable for variable in server["env"]}
        pod = {"valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        assert environment["HCCL_IF_IP"] == {"name": "HCCL_IF_IP", **pod}
        assert environment["GLOO_SOCKET_IFNAME"]["value"] == "eth0"
    assert service["spec"]["selector"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"
    # LeaderWorkerSet makes a headless Service of its own name.
    assert service["metadata"]["name"] != group["metadata"]["name"]


@pytest.mark.skipif(not CRD, reason="QREG_LWS_CRD does not name LeaderWorkerSet's CRD")
def test_a_group_is_what_its_crd_asks_for() -> None:
    (version,) = yaml.load(Path(CRD).read_text(), yaml.CSafeLoader)["spec"]["versions"]
    judge = jsonschema.Draft202012Validator(_closed(version["schema"]["openAPIV3Schema"]))
    for options in ({}, {"claim": "models", "namespace": "serving"}):
        group = _manifests(THREE_NODES, **options)[0]
        assert group["apiVersion"] == f"leaderworkerset.x-k8s.io/{version['name']}"
        metadata = group.pop("metadata")
        judge.validate({**group, "metadata": {}})
        assert metadata.get("namespace") == options.get("namespace")
        group["spec"]["leaderWorkerTemplate"]["sise"] = 3
        with pytest.raises(jsonschema.ValidationError):
            judge.validate({**group, "metadata": {}})


def _closed(schema: Any) -> Any:
    """A CRD's schema that refuses unknown fields, as strict field validation does."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    done = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        done["additionalProperties"] = False
    return done


def test_other_hardware() -> None:
    server = _server(_manifests(ON_CPU)[0]["spec"]["template"])
    assert server["command"] == ["vllm"] and server["args"][:2] == ["serve", FOLDER]
    assert server["resources"] == {"requests": {"memory": str(54 * 2**30)}}
    server = _server(_manifests(ON_CUDA)[0]["spec"]["template"])
    assert server["resources"] == {"limits": {"nvidia.com/gpu": "2"}}
    server = _server(_manifests(replace(ONE_NODE, chip="310P"))[0]["spec"]["template"])
    assert server["resources"] == {"limits": {"huawei.com/Ascend310P": "4"}}
    unknown = replace(ONE_NODE, chip="950")
    with pytest.raises(IncompatibleError, match="device plugin") as caught:
        render(unknown, "kubernetes")
    assert "Name the resource" in caught.value.remedy
    server = _server(_manifests(unknown, resource="huawei.com/npu")[0]["spec"]["template"])
    assert server["resources"] == {"limits": {"huawei.com/npu": "4"}}
