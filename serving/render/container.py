"""What a plan needs of a container: image, command, devices, mounts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from registry.errors import IncompatibleError
from serving.hardware import profiles
from serving.hardware.profile import NPU
from serving.plan import Plan

# Official images. Ascend's are one a kind of NPU (docs.vllm.ai/projects/ascend, "Installation").
_ASCEND = "quay.io/ascend/vllm-ascend"
_SUFFIXES = {row.chip: row.image_suffix for row in profiles() if row.kind == NPU}
_OTHERS = {
    "vllm": "vllm/vllm-openai",
    "vllm-cpu": "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo",
}
# Variables that number a machine's devices; a container has only those that it is given.
_VISIBLE = {"vllm-ascend": "ASCEND_RT_VISIBLE_DEVICES", "vllm": "CUDA_VISIBLE_DEVICES"}
_MANAGERS = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what listens inside a container is published outside
_ALL = (EVERYWHERE, "::")
# Images have Python, not all have curl.
HEALTH = "import urllib.request as r; r.urlopen('http://{address}/health', timeout=5)"
START_MINUTES = 60  # a terabyte of weights from a slow disk


@dataclass(frozen=True)
class Mount:
    """A file or folder of the machine that a container reads, at the same path unless said.

    `maybe_below` is set for files that a machine may lack: a folder above that each one has.
    """

    name: str
    source: str
    target: str
    is_file: bool = False
    maybe_below: str = ""


@dataclass(frozen=True)
class Container:
    """One node's server in a container.

    Attributes:
        name: fit for a container, a service and a DNS label.
        image: with its tag.
        entrypoint: in place of the image's own; empty where that is kept, as it sets up CANN.
        words: the command.
        environment: the plan's, without numbers of devices.
        devices: files in /dev, for NPUs.
        gpus: numbers of GPUs.
        accelerators: how many NPUs or GPUs it takes.
        mounts: read-only.
        capabilities: of the kernel.
        shared_memory: GiB.
        host: where the machine listens for it.
        own_network: whether it has addresses of its own, apart from the machine's.
        port: that it listens on, inside and outside.
        answers: whether it serves HTTP; nodes after the first do not.
    """

    name: str
    image: str
    entrypoint: tuple[str, ...]
    words: tuple[str, ...]
    environment: Mapping[str, str]
    devices: tuple[str, ...]
    gpus: tuple[str, ...]
    accelerators: int
    mounts: tuple[Mount, ...]
    capabilities: tuple[str, ...]
    shared_memory: int
    host: str
    own_network: bool
    port: int
    answers: bool

    @property
    def health(self) -> list[str]:
        """The command that says whether it answers."""
        host = "127.0.0.1" if self.own_network or self.host in _ALL else self.host
        host = f"[{host}]" if ":" in host else host
        return ["python3", "-c", HEALTH.format(address=f"{host}:{self.port}")]


def container_of(plan: Plan, node: int, *, image: str = "", own_network: bool) -> Container:
    """The container of one node, counted from 0.

    Args:
        plan: to run.
        node: which one.
        image: in place of the official one, as from a mirror.
        own_network: whether it has addresses of its own, so that it must listen on all of them.

    Raises:
        IncompatibleError: no official image is known.
    """
    flags = plan.flags_of(node)
    numbers = _devices(plan)
    npus, gpus = plan.engine == "vllm-ascend", plan.engine == "vllm"
    folder = model_folder(plan)
    words = ["vllm", "serve", folder.target]
    for flag in flags:
        if flag.name == "--host" and own_network:
            words += ["--host", EVERYWHERE]
        elif flag.name != "--model":
            words += flag.argv()
    hidden = _VISIBLE.get(plan.engine)
    return Container(
        name=label(plan.artifact),
        image=image or image_of(plan),
        entrypoint=() if npus else ("vllm",),
        words=tuple(words),
        environment={
            flag.name: flag.value or ""
            for flag in flags
            if flag.is_environment and flag.name != hidden
        },
        devices=(*(f"/dev/davinci{number}" for number in numbers), *_MANAGERS) if npus else (),
        gpus=numbers if gpus else (),
        accelerators=len(numbers) if npus or gpus else 0,
        mounts=(folder, *(_driver(_together(plan)) if npus else ())),
        # Lets vLLM bind memory to NUMA nodes under Docker's own system call filter.
        capabilities=("SYS_NICE",) if plan.engine == "vllm-cpu" else (),
        shared_memory=1 + len(numbers),  # messages between workers; a limit, not an allocation
        host=plan.value("--host") or "127.0.0.1",
        own_network=own_network,
        port=int(plan.value("--port") or 8000),
        answers=not any(flag.name == "--headless" for flag in flags),
    )


def image_of(plan: Plan) -> str:
    """The official image for a plan's engine, release and chip.

    Raises:
        IncompatibleError: none is known.
    """
    what = ""
    if not plan.release:
        what = f"The release of {plan.engine} is not known, and with it not its image"
    elif plan.engine == "vllm-ascend" and plan.chip not in _SUFFIXES:
        what = f"No image of vLLM Ascend is known for the chip {plan.chip!r}"
    elif plan.engine != "vllm-ascend" and plan.engine not in _OTHERS:
        what = f"No image of {plan.engine} is known"
    if what:
        raise IncompatibleError(
            what, remedy="Name an image that has the engine, or the release to plan for."
        )
    if plan.engine == "vllm-ascend":
        return f"{_ASCEND}:v{plan.release}{_SUFFIXES[plan.chip]}"
    return f"{_OTHERS[plan.engine]}:v{plan.release.partition('+')[0]}"


def model_folder(plan: Plan) -> Mount:
    """The model at its real path; at /models/ORG/NAME where it is still to be pulled."""
    here = plan.folder if plan.folder.startswith("/") else f"/models/{plan.folder}"
    return Mount("model", here, here)


def label(name: str) -> str:
    """A name for containers and Kubernetes: a DNS label (RFC 1035) with room for suffixes."""
    text = re.sub(r"[^a-z0-9]+", "-", name.rpartition("/")[2].lower())[:50].strip("-")
    return text if re.match("[a-z]", text) else f"model-{text}".rstrip("-")


def _devices(plan: Plan) -> tuple[str, ...]:
    """Numbers of the devices on a node that the plan uses."""
    ranks = 1
    for kind in ("tensor", "data", "pipeline"):
        ranks *= plan.parallel.get(kind, 1)
    count = max(1, ranks // plan.nodes)
    chosen = (plan.value(_VISIBLE.get(plan.engine, "")) or "").split(",")
    if all(number.strip().isdigit() for number in chosen):
        return tuple(number.strip() for number in chosen[:count])
    return tuple(map(str, range(count)))


def _together(plan: Plan) -> bool:
    """Whether NPUs talk to those of other machines."""
    return plan.nodes > 1 or plan.value("--kv-transfer-config") is not None


def _driver(together: bool) -> tuple[Mount, ...]:
    """The driver's files that CANN in the image needs from the machine."""
    ascend = "/usr/local/Ascend/driver"
    paths = [
        ("dcmi", "/usr/local/dcmi", False),
        ("npu-smi", "/usr/local/bin/npu-smi", True),
        ("driver-lib64", f"{ascend}/lib64", False),
        ("driver-version", f"{ascend}/version.info", True),
        ("ascend-install", "/etc/ascend_install.info", True),
    ]
    found = [Mount(name, path, path, is_file) for name, path, is_file in paths]
    if together:  # addresses of the NPUs' own network, where somebody has given them any
        tool, addresses = f"{ascend}/tools/hccn_tool", "/etc/hccn.conf"
        found.append(Mount("hccn-tool", tool, tool, True, ascend))
        found.append(Mount("hccn-conf", addresses, addresses, True, "/etc"))
    return tuple(found)
