"""A plan as Kubernetes manifests: a Deployment, or a LeaderWorkerSet for several nodes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from registry.errors import IncompatibleError
from serving.plan import Plan
from serving.render.container import START_MINUTES, Container, Mount, container_of
from serving.render.shell import all_flags, quote
from serving.render.text import (
    FIRST_NODE,
    OWN_ADDRESS,
    OWN_INTERFACE,
    comments,
    header,
    is_asked,
    reasons,
    to_yaml,
)

# What Ascend's device plugin calls NPUs; A2 and A3 are both of the 910 line.
_RESOURCES = {
    "A2": "huawei.com/Ascend910",
    "A3": "huawei.com/Ascend910",
    "310P": "huawei.com/Ascend310P",
}
_NAME = "app.kubernetes.io/name"
_LEADER = "LWS_LEADER_ADDRESS"  # both are set in each pod by LeaderWorkerSet
_INDEX = "LWS_WORKER_INDEX"
_INTERFACE = "eth0"  # of a pod's own network, as all usual network plug-ins name it
_PERIOD = 10  # seconds between probes


def render_kubernetes(
    plan: Plan, *, image: str = "", claim: str = "", resource: str = "", namespace: str = ""
) -> str:
    """The launch as a Deployment (apps/v1), or a LeaderWorkerSet (v1), with a Service.

    Pods listen on all their addresses, whatever host the plan names; the Service is for the
    cluster only.

    Args:
        plan: to run.
        image: in place of the official one, as from a mirror.
        claim: PersistentVolumeClaim that holds the model's files; by default they lie on the nodes.
        resource: name of the device plugin's resource, where the usual one is not meant.
        namespace: of the objects; by default left to kubectl.

    Raises:
        IncompatibleError: no official image, or no resource, is known.
    """
    nodes = [container_of(plan, n, image=image, own_network=True) for n in range(plan.nodes)]
    first = nodes[0]
    resources = _resources(plan, first, resource)
    name = first.name
    meta: dict[str, Any] = {"name": name, "labels": {_NAME: name}}
    if namespace:
        meta["namespace"] = namespace
    annotations = {
        "qreg/artifact": f"{plan.artifact}@{plan.digest}" if plan.digest else plan.artifact,
        "qreg/plan": plan.to_json()["digest_of_plan"],
    }
    if len(nodes) == 1:
        pod = _pod(first, _args(first.words), resources, claim)
        body = {
            "replicas": 1,
            "selector": {"matchLabels": {_NAME: name}},
            # The old pod holds the devices that the new one needs.
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": {_NAME: name}}, "spec": pod},
        }
        version, kind, selector = "apps/v1", "Deployment", {_NAME: name}
    else:
        alike = replace(plan, node_flags=())
        common = container_of(alike, 0, image=image, own_network=True).words
        template = {
            "leaderTemplate": _pod(first, _args(first.words), resources, claim),
            "workerTemplate": _pod(nodes[1], _worker(nodes, common), resources, claim),
        }
        body = {
            "replicas": 1,
            "leaderWorkerTemplate": {
                "size": len(nodes),
                "restartPolicy": "RecreateGroupOnPodRestart",
                **{
                    role: {"metadata": {"labels": {_NAME: name}}, "spec": pod}
                    for role, pod in template.items()
                },
            },
        }
        version, kind = "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"
        selector = {
            "leaderworkerset.sigs.k8s.io/name": name,
            "leaderworkerset.sigs.k8s.io/worker-index": "0",
        }
    workload = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {**meta, "annotations": annotations},
        "spec": body,
    }
    port = {"name": "http", "port": first.port, "targetPort": "http"}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        # LeaderWorkerSet makes a Service of its own name for its pods.
        "metadata": {**meta, "name": name if len(nodes) == 1 else f"{name}-http"},
        "spec": {"selector": selector, "ports": [port]},
    }
    where = f"claim {claim}" if claim else f"{first.mounts[0].source} on each node"
    told = [f"The model's files are expected in {where}."]
    if is_asked(plan, OWN_INTERFACE):
        told.append(f"Pods meet over {_INTERFACE}; plan with --interface where yours is another.")
    head = [*header(plan), *comments(told), "#"]
    return "\n".join([*head, *reasons(all_flags(plan)), to_yaml(workload, service)])


def _resources(plan: Plan, container: Container, name: str) -> dict[str, Any]:
    if not container.accelerators:
        memory = plan.memory
        return {"requests": {"memory": str(memory.weights + memory.kv_cache + memory.overhead)}}
    if not name:
        name = "nvidia.com/gpu" if container.gpus else _RESOURCES.get(plan.chip, "")
    if not name:
        raise IncompatibleError(
            f"It is not known what the device plugin calls the NPUs of {plan.hardware}",
            remedy="Name the resource; `kubectl describe node` lists it under Allocatable.",
        )
    return {"limits": {name: str(container.accelerators)}}


def _pod(
    container: Container, args: list[str], resources: dict[str, Any], claim: str
) -> dict[str, Any]:
    server: dict[str, Any] = {
        "name": "server",
        "image": container.image,
        "imagePullPolicy": "IfNotPresent",
    }
    if container.entrypoint:
        server["command"], args = args[:1], args[1:]
    server["args"] = args
    server["env"] = [_variable(name, value) for name, value in container.environment.items()]
    server["resources"] = resources
    if container.answers:
        server["ports"] = [{"name": "http", "containerPort": container.port}]
        get = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": _PERIOD}
        server["startupProbe"] = {**get, "failureThreshold": START_MINUTES * 60 // _PERIOD}
        server["readinessProbe"] = {**get, "failureThreshold": 2}
        server["livenessProbe"] = {**get, "timeoutSeconds": 10, "failureThreshold": 6}
    certain = [mount for mount in container.mounts if not mount.maybe_below]
    uncertain = [mount for mount in container.mounts if mount.maybe_below]
    server["volumeMounts"] = [
        {"name": mount.name, "mountPath": mount.target, "readOnly": True} for mount in certain
    ]
    server["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    volumes = [_volume(mount, claim if mount.name == "model" else "") for mount in certain]
    before = _copying(container, uncertain, server, volumes) if uncertain else []
    size = f"{container.shared_memory}Gi"
    volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    return {
        # Kubernetes would set VLLM_… variables for a Service named vllm, and vLLM would read them.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        **({"initContainers": before} if before else {}),
        "containers": [server],
        "volumes": volumes,
    }


def _copying(
    container: Container, mounts: list[Mount], server: dict[str, Any], volumes: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A container that copies files which a host may lack; empty ones stand for those.

    A hostPath that is not there stops the pod if it must be a file, and is made on the host if it
    need not be, as a folder.
    """
    found, steps, seen = "host-files", [], []
    for folder in dict.fromkeys(mount.maybe_below for mount in mounts):
        name = "host" + re.sub("[^a-z0-9]+", "-", folder.lower())
        volumes.append({"name": name, "hostPath": {"path": folder, "type": "Directory"}})
        seen.append({"name": name, "mountPath": f"/host{folder}", "readOnly": True})
    for mount in mounts:
        steps.append(f"cp /host{mount.source} /found/{mount.name} || : > /found/{mount.name}")
        server["volumeMounts"].append(
            {"name": found, "mountPath": mount.target, "subPath": mount.name, "readOnly": True}
        )
    volumes.append({"name": found, "emptyDir": {}})
    return [
        {
            "name": found,
            "image": container.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", "; ".join(steps)],
            "volumeMounts": [*seen, {"name": found, "mountPath": "/found"}],
        }
    ]


def _variable(name: str, value: str) -> dict[str, Any]:
    """A variable; a pod's own address comes from the downward API."""
    if value == OWN_ADDRESS:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return {"name": name, "value": _INTERFACE if value == OWN_INTERFACE else _literal(value)}


def _volume(mount: Mount, claim: str) -> dict[str, Any]:
    if claim:
        return {"name": mount.name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    kind = "File" if mount.is_file else "Directory"
    return {"name": mount.name, "hostPath": {"path": mount.source, "type": kind}}


def _worker(nodes: list[Container], common: tuple[str, ...]) -> list[str]:
    """The command of any node but the first: a shell adds what its number needs."""
    lines = [f'case "${_INDEX}" in']
    for number, node in enumerate(nodes[1:], 1):
        words = [quote(word) if word != FIRST_NODE else f'"${_LEADER}"' for word in node.words]
        lines.append(f'  {number}) set -- "$@" {" ".join(words[len(common) :])} ;;')
    lines += ["esac", 'exec "$@"', ""]
    return ["sh", "-c", _literal("\n".join(lines)), "worker", *_args(common)]


def _args(words: tuple[str, ...]) -> list[str]:
    return [_literal(word).replace(FIRST_NODE, f"$({_LEADER})") for word in words]


def _literal(text: str) -> str:
    """Text in which Kubernetes replaces nothing: `$(NAME)` and `$$` mean something to it."""
    return re.sub(r"\$(?=[$(])", "$$", text)
