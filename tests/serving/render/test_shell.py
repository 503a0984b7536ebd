"""Shell scripts, as shells run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from registry.errors import UsageError
from registry.names import printable
from serving.plan import Flag, Plan
from serving.render import FORMATS, render
from tests.serving.render.plans import (
    AWKWARD,
    HOSTILE,
    ON_CPU,
    ONE_NODE,
    REFUSED,
    THREE_NODES,
    expected,
)

SHELLCHECK = Path(sys.executable).parent / "shellcheck"
# In place of the engine: says what it was started with.
SAYS = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


def _speaking(plan: Plan) -> Plan:
    return replace(plan, command=(sys.executable, "-c", SAYS, *plan.command))


def _run(
    script: Path, *arguments: str, shell: str = "sh", **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, str(script), *arguments], capture_output=True, text=True, env=env, check=False
    )


@pytest.mark.parametrize("form", ["shell", "docker"])
@pytest.mark.parametrize("plan", [ONE_NODE, THREE_NODES, ON_CPU, HOSTILE, REFUSED])
def test_shells_and_shellcheck_have_nothing_to_say(plan: Plan, form: str, tmp_path: Path) -> None:
    script = tmp_path / "serve.sh"
    script.write_text(render(plan, form))
    for check in (
        ["sh", "-n", script],
        ["dash", "-n", script],
        ["bash", "-n", script],
        [SHELLCHECK, "--severity=warning", script],
    ):
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), check


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_the_engine_gets_exactly_the_plans_words_and_variables(tmp_path: Path, shell: str) -> None:
    script = tmp_path / "serve.sh"
    script.write_text(render(_speaking(ONE_NODE), "shell"))
    argv, environment = json.loads(_run(script, shell=shell).stdout)
    assert argv == ONE_NODE.argv
    assert environment["AWKWARD"] == AWKWARD
    assert {name: environment[name] for name in ONE_NODE.env} == ONE_NODE.env


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_canns_variables_are_set_where_nobody_has_set_them(tmp_path: Path, shell: str) -> None:
    script = tmp_path / "serve.sh"
    script.write_text(render(_speaking(ONE_NODE), "shell"))
    setting = tmp_path / "it's home" / "Ascend" / "cann" / "set_env.sh"
    setting.parent.mkdir(parents=True)
    setting.write_text(
        'here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"\n[[ $# -gt 0 ]] && return\n'
        'export ASCEND_OPP_PATH="$here/opp" LD_LIBRARY_PATH="$here/lib64:$LD_LIBRARY_PATH"\n'
    )
    home, lib = str(tmp_path / "it's home"), {"LD_LIBRARY_PATH": "/own"}
    argv, found = json.loads(_run(script, shell=shell, HOME=home, **lib).stdout)
    assert argv == ONE_NODE.argv
    assert found["ASCEND_OPP_PATH"] == f"{setting.parent}/opp"
    assert found["LD_LIBRARY_PATH"] == f"{setting.parent}/lib64:/own"
    done = _run(script, shell=shell, HOME=home, ASCEND_OPP_PATH="/sourced", **lib)
    _, found = json.loads(done.stdout)
    assert (found["ASCEND_OPP_PATH"], found["LD_LIBRARY_PATH"]) == ("/sourced", "/own")
    assert "set_env.sh" not in render(ON_CPU, "shell")


def test_each_node_gets_its_own_words(tmp_path: Path) -> None:
    script = tmp_path / "serve.sh"
    script.write_text(render(_speaking(THREE_NODES), "shell"))
    for node in range(3):
        place = {"OWN_ADDRESS": "10.0.0.9", "OWN_INTERFACE": "net9"}
        done = _run(script, str(node), FIRST_NODE_ADDRESS="10.0.0.7", **place)
        argv, environment = json.loads(done.stdout)
        assert argv == expected(THREE_NODES, node, "10.0.0.7")
        assert environment["HCCL_OP_EXPANSION_MODE"] == "AIV"
        assert environment["HCCL_IF_IP"] == "10.0.0.9"
        assert environment["GLOO_SOCKET_IFNAME"] == "net9"
    argv, _ = json.loads(_run(script, NODE="2", FIRST_NODE_ADDRESS="h", **place).stdout)
    assert argv == expected(THREE_NODES, 2, "h")


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
@pytest.mark.parametrize("form", ["shell", "docker"])
def test_a_node_finds_its_place_by_the_route(tmp_path: Path, shell: str, form: str) -> None:
    says = tmp_path / "docker"  # in place of Docker: says what it was started with
    says.write_text(f"#!{sys.executable}\n{SAYS}\n")
    says.chmod(0o755)
    script = tmp_path / "serve.sh"
    script.write_text(render(_speaking(THREE_NODES), form))
    path = f"{tmp_path}:{os.environ['PATH']}:/usr/sbin:/sbin"

    def place(**variables: str) -> tuple[str, str]:
        done = _run(script, "1", shell=shell, PATH=path, **variables)
        assert not done.returncode, done.stderr
        argv, environment = json.loads(done.stdout)
        environment |= {word.partition("=")[0]: word.partition("=")[2] for word in argv}
        return environment["HCCL_IF_IP"], environment["GLOO_SOCKET_IFNAME"]

    assert place(FIRST_NODE_ADDRESS="localhost", OWN_ADDRESS="127.0.0.1") == ("127.0.0.1", "lo")
    assert place(FIRST_NODE_ADDRESS="127.0.0.1") == ("127.0.0.1", "lo")
    chosen = place(FIRST_NODE_ADDRESS="127.0.0.1", OWN_ADDRESS="10.1.1.1", OWN_INTERFACE="net9")
    assert chosen == ("10.1.1.1", "net9")


def test_an_unknown_place_is_asked_for(tmp_path: Path) -> None:
    script = tmp_path / "serve.sh"
    script.write_text(render(_speaking(THREE_NODES), "shell"))
    done = _run(script, "1", FIRST_NODE_ADDRESS="no-such-host.invalid")
    assert done.returncode and "the address of this node" in done.stderr and not done.stdout


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    script = tmp_path / "serve.sh"
    script.write_text(render(_speaking(THREE_NODES), "shell"))
    for arguments in ((), ("3",)):
        done = _run(script, *arguments, FIRST_NODE_ADDRESS="10.0.0.7")
        assert done.returncode == 2 and "Which node is this, 0 to 2?" in done.stderr
    done = _run(script, "1", OWN_ADDRESS="10.0.0.9", OWN_INTERFACE="net9")
    assert done.returncode and "the address of the first node" in done.stderr
    assert not done.stdout


def test_a_terminal_outlives_what_was_pasted_into_it() -> None:
    pasted = render(_speaking(ONE_NODE), "shell") + 'echo "still here $-"\n'
    done = subprocess.run(
        ["bash", "--norc", "-i"], input=pasted, capture_output=True, text=True, check=False
    )
    answer, here = done.stdout.strip().split("\n")
    assert json.loads(answer)[0] == ONE_NODE.argv
    assert here.startswith("still here") and "e" not in here.removeprefix("still here")


def test_the_engine_takes_the_scripts_place(tmp_path: Path) -> None:
    says = "import os; print(os.getpid())"
    script = tmp_path / "serve.sh"
    script.write_text(render(replace(ONE_NODE, command=(sys.executable, "-c", says)), "shell"))
    process = subprocess.Popen(["sh", script], stdout=subprocess.PIPE, text=True)
    assert int(process.communicate()[0]) == process.pid


def test_every_reason_is_there_and_so_is_what_forbids_the_launch() -> None:
    text = render(REFUSED, "shell")
    for flag in REFUSED.flags:
        assert flag.reason in text
    assert "# NOT LAUNCHABLE: 12 GiB are missing. Use more nodes." in text
    assert max(map(len, render(THREE_NODES, "shell").split("\n"))) < 290


def test_names_cannot_leave_their_comment(tmp_path: Path) -> None:
    for form in FORMATS:
        lines = render(HOSTILE, form).splitlines()
        assert not [line for line in lines if line.strip().startswith(("rm ", "id", "y"))], form


@pytest.mark.parametrize("plan", [ONE_NODE, ON_CPU, HOSTILE, REFUSED])
def test_a_terminal_can_show_every_form(plan: Plan) -> None:
    for form in FORMATS:
        text = render(plan, form)
        assert text == printable(text) and "\t" not in text, form


def test_a_variable_of_several_lines_stays_in_its_comment() -> None:
    plan = replace(ON_CPU, flags=(Flag("A", "b\nmodel: /evil", "so", "user"), *ON_CPU.flags))
    assert yaml.safe_load(render(plan, "config"))["model"] == ON_CPU.value("--model")
    assert not [line for line in render(plan, "config").split("\n") if line == "model: /evil'"]


def test_formats_and_options_that_there_are_not() -> None:
    with pytest.raises(UsageError, match="cannot be written as 'word'") as caught:
        render(ONE_NODE, "word")
    assert "kubernetes" in caught.value.remedy
    with pytest.raises(UsageError, match="no option 'claim'") as caught:
        render(ONE_NODE, "docker", claim="x")
    assert caught.value.remedy == "It has image."


@pytest.mark.parametrize("plan", [ONE_NODE, THREE_NODES, ON_CPU])
def test_rendering_is_pure_and_takes_nothing_of_the_users_environment(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = [form for form in FORMATS if form != "python" or plan.nodes == 1]
    before = {form: render(plan, form) for form in forms}
    monkeypatch.setenv("VLLM_API_KEY", "s3cret")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    assert {form: render(plan, form) for form in forms} == before
