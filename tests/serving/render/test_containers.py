"""Docker commands and compose files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import ComposeSpecification

from registry.errors import IncompatibleError
from serving.plan import Plan
from serving.render import container, render
from serving.render.container import label
from tests.serving.render.plans import (
    AWKWARD,
    ON_CPU,
    ON_CUDA,
    ONE_NODE,
    THREE_NODES,
    flag,
    in_container,
)

FOLDER = ONE_NODE.folder
IMAGE = "quay.io/ascend/vllm-ascend"


def _docker(plan: Plan, tmp_path: Path, *arguments: str, image: str = "") -> list[str]:
    """What Docker would be told: a `docker` that says its arguments runs in its place."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "docker").write_text(
        f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"
    )
    (tools / "docker").chmod(0o755)
    script = tmp_path / "serve.sh"
    script.write_text(render(plan, "docker", image=image))
    done = subprocess.run(
        ["/bin/sh", script, *arguments],
        env={
            "PATH": str(tools),
            "FIRST_NODE_ADDRESS": "10.0.0.7",
            "OWN_ADDRESS": "10.0.0.9",
            "OWN_INTERFACE": "net9",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    words: list[str] = json.loads(done.stdout)
    return words


def _all(words: list[str], option: str) -> list[str]:
    return [after for word, after in pairwise(words) if word == option]


def _compose(plan: Plan) -> dict[str, Any]:
    document = yaml.safe_load(render(plan, "compose"))
    ComposeSpecification.model_validate(document)
    services: dict[str, Any] = document["services"]
    return services


def test_docker_on_npus(tmp_path: Path) -> None:
    words = _docker(ONE_NODE, tmp_path)
    image = words.index(f"{IMAGE}:v0.23.0-a3")
    assert words[image + 1 :] == in_container(ONE_NODE, 0, FOLDER, "", "0.0.0.0")
    options = words[:image]
    assert _all(options, "--device") == [
        *(f"/dev/davinci{number}" for number in (4, 5, 6, 7)),
        *("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"),
    ]
    assert _all(options, "--publish") == ["127.0.0.1:8123:8123"] and "--network" not in options
    mounts = _all(options, "--mount")
    assert mounts[0] == f"type=bind,source={FOLDER},target={FOLDER},readonly"
    for path in (
        "/usr/local/dcmi",
        "/usr/local/bin/npu-smi",
        "/usr/local/Ascend/driver/lib64",
        "/usr/local/Ascend/driver/version.info",
        "/etc/ascend_install.info",
    ):
        assert f"type=bind,source={path},target={path},readonly" in mounts
    # The container has the chosen NPUs only, and counts them from 0.
    environment = _all(options, "--env")
    assert environment == ["HCCL_OP_EXPANSION_MODE=AIV", f"AWKWARD={AWKWARD}"]
    (health,) = _all(options, "--health-cmd")
    assert "http://127.0.0.1:8123/health" in health


def test_the_health_check_is_a_program(tmp_path: Path) -> None:
    (health,) = _all(_docker(ONE_NODE, tmp_path), "--health-cmd")
    done = subprocess.run(["sh", "-c", health], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Connection refused" in done.stderr


def test_docker_on_several_nodes(tmp_path: Path) -> None:
    for node in range(3):
        words = _docker(THREE_NODES, tmp_path, str(node))
        image = words.index(f"{IMAGE}:v0.23.0")
        assert words[image + 1 :] == in_container(
            THREE_NODES, node, FOLDER, "10.0.0.7", "127.0.0.1"
        )
        assert _all(words, "--network") == ["host"] and "--publish" not in words
        assert {"HCCL_IF_IP=10.0.0.9", "GLOO_SOCKET_IFNAME=net9"} <= set(_all(words, "--env"))
        # Only the first node answers; NPUs of several machines need their own network's addresses.
        assert ("--health-cmd" in words) == (node == 0)
        assert len([d for d in _all(words, "--device") if re.search(r"davinci\d", d)]) == 8


def test_a_file_that_a_host_may_lack_is_mounted_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--mount` of a missing file stops the container; `--volume` would make a folder of it."""
    addresses = tmp_path / "hccn.conf"
    driver = container._driver

    def moved(together: bool) -> tuple[container.Mount, ...]:
        return tuple(
            replace(m, source=str(addresses)) if m.name == "hccn-conf" else m
            for m in driver(together)
        )

    monkeypatch.setattr(container, "_driver", moved)
    one = f"type=bind,source={addresses},target=/etc/hccn.conf,readonly"
    assert not [m for m in _all(_docker(THREE_NODES, tmp_path, "1"), "--mount") if "hccn" in m]
    addresses.write_text("address_0=10.0.0.1\n")
    words = _docker(THREE_NODES, tmp_path, "1")
    assert one in _all(words, "--mount")
    assert not [m for m in _all(_docker(ONE_NODE, tmp_path), "--mount") if "hccn" in m]
    text = render(THREE_NODES, "compose")
    mounts = yaml.safe_load(text)["services"]["node1"]["volumes"]
    (mount,) = [v for v in mounts if v["target"] == "/etc/hccn.conf"]
    assert mount["source"] == "${HCCN_CONF:-/dev/null}"
    usage = " ".join(text.replace("\n#", "").split())
    assert f"HCCN_CONF=$(ls {addresses} 2>/dev/null)" in usage


def test_a_folder_with_a_comma_is_one_field(tmp_path: Path) -> None:
    words = _docker(replace(ONE_NODE, folder='/srv/a,"b"'), tmp_path)
    assert _all(words, "--mount")[0] == (
        'type=bind,"source=/srv/a,""b""","target=/srv/a,""b""",readonly'
    )


def test_docker_elsewhere(tmp_path: Path) -> None:
    words = _docker(ON_CPU, tmp_path)
    image = words.index("public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.32.0")
    assert _all(words, "--entrypoint") == ["vllm"] and "--device" not in words
    assert words[image + 1 : image + 3] == ["serve", FOLDER] and "--model" not in words
    words = _docker(ON_CUDA, tmp_path)
    assert _all(words, "--gpus") == ['"device=2,3"']
    assert "vllm/vllm-openai:v0.23.0" in words and "--env" not in words


def test_images(tmp_path: Path) -> None:
    for chip, suffix in {"A2": "", "A3": "-a3", "310P": "-310p", "950": "-a5"}.items():
        assert f"{IMAGE}:v0.23.0{suffix}" in _docker(replace(ONE_NODE, chip=chip), tmp_path)
    assert "mirror/ascend:1" in _docker(
        replace(ONE_NODE, release=""), tmp_path, image="mirror/ascend:1"
    )
    for unknown in (
        replace(ONE_NODE, release=""),
        replace(ONE_NODE, chip="A9"),
        replace(ONE_NODE, engine="other"),
    ):
        with pytest.raises(IncompatibleError, match="known") as caught:
            render(unknown, "compose")
        assert "Name an image" in caught.value.remedy


def _interpolated(value: str) -> str:
    """As compose reads a value."""
    names = {
        "FIRST_NODE_ADDRESS:?the address of the first node": "10.0.0.7",
        "OWN_ADDRESS:?the address of this node": "10.0.0.9",
        "OWN_INTERFACE:?the network interface of this node": "net9",
    }
    return re.sub(
        r"\$\$|\$\{([^}]*)\}|\$\w+", lambda m: names[m[1]] if m[1] else "$"[: m[0] == "$$"], value
    )


def test_compose_is_what_docker_run_is(tmp_path: Path) -> None:
    service = _compose(ONE_NODE)["server"]
    words = _docker(ONE_NODE, tmp_path)
    image = words.index(service["image"])
    assert [_interpolated(word) for word in service["command"]] == words[image + 1 :]
    environment = [f"{k}={_interpolated(v)}" for k, v in service["environment"].items()]
    assert environment == _all(words, "--env")
    assert [d.partition(":")[0] for d in service["devices"]] == _all(words, "--device")
    assert service["ports"] == _all(words, "--publish")
    assert all(volume["read_only"] for volume in service["volumes"])
    assert service["restart"] == "unless-stopped" and service["shm_size"] == "5gb"
    assert service["healthcheck"]["test"][:2] == ["CMD", "python3"]


def test_compose_on_several_nodes() -> None:
    services = _compose(THREE_NODES)
    assert list(services) == ["node0", "node1", "node2"]
    for node, service in enumerate(services.values()):
        assert [_interpolated(word) for word in service["command"]] == in_container(
            THREE_NODES, node, FOLDER, "10.0.0.7", "127.0.0.1"
        )
        assert service["network_mode"] == "host" and "ports" not in service
        environment = {k: _interpolated(v) for k, v in service["environment"].items()}
        assert environment["HCCL_IF_IP"] == "10.0.0.9"
        assert environment["GLOO_SOCKET_IFNAME"] == "net9"
        assert ("healthcheck" in service) == (node == 0)


def test_compose_with_gpus() -> None:
    service = _compose(ON_CUDA)["server"]
    (gpus,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert gpus["device_ids"] == ["2", "3"] and service["entrypoint"] == ["vllm"]


def test_a_host_of_the_users_is_where_the_port_is_published(tmp_path: Path) -> None:
    flags = tuple(f for f in ONE_NODE.flags if f.name != "--host")
    for host, published in (("0.0.0.0", "0.0.0.0:8123:8123"), ("::1", "[::1]:8123:8123")):
        words = _docker(replace(ONE_NODE, flags=(*flags, flag("--host", host))), tmp_path)
        assert _all(words, "--publish") == [published] and words[-2:] == ["--host", "0.0.0.0"]


def test_what_is_still_to_be_pulled_is_expected_under_models(tmp_path: Path) -> None:
    words = _docker(replace(ONE_NODE, folder="org/Model-W8A8"), tmp_path)
    where = "/models/org/Model-W8A8"
    assert _all(words, "--mount")[0] == f"type=bind,source={where},target={where},readonly"
    assert words[words.index("serve") + 1] == where


def test_names_of_containers() -> None:
    assert label("org/Qwen3.5-27B_W8A8") == "qwen3-5-27b-w8a8"
    assert label("org/3B") == "model-3b" and label("org/…") == "model"
    assert re.fullmatch("[a-z][a-z0-9-]{0,55}[a-z0-9]", label("0" * 49 + "-" + "x" * 99))
