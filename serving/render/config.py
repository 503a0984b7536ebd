"""A plan as the YAML file of vLLM's `--config`."""

from __future__ import annotations

import re
from typing import Any

from registry.errors import IncompatibleError
from serving.plan import Flag, Plan
from serving.render.shell import export, join
from serving.render.text import comments, header, to_yaml, why


def render_config(plan: Plan) -> str:
    """Arguments as keys, each with its reason; the environment and the commands as comments.

    A node's own arguments stand in its command. JSON stays text, which vLLM of all releases
    passes on as it is (`FlexibleArgumentParser.load_config_file`, 0.11 to 0.32); only newer ones
    take nested YAML.

    Raises:
        IncompatibleError: a flag is there twice, or in a short form that no key can say.
    """
    lines = [*header(plan), "#"]
    for flag in plan.flags:
        if flag.is_environment:
            lines += _commented(export(flag))
    start = [word for word in plan.command if word != plan.folder]
    for node in range(plan.nodes):
        own = plan.node_flags[node] if plan.node_flags else ()
        for flag in own:
            if flag.is_environment:
                lines += _commented(f"node {node}, before: {export(flag)}")
        words = [*start, "--config", "serve.yaml", *(word for flag in own for word in flag.argv())]
        lines += _commented(f"node {node}: {join(words)}" if plan.nodes > 1 else join(words))
    seen: set[str] = set()
    if plan.value("--model") is None:
        lines += ["", to_yaml({"model": plan.folder}).rstrip()]
        seen.add("--model")
    for flag in plan.flags:
        if flag.is_environment:
            continue
        if flag.name in seen or not flag.name.startswith("--"):
            raise IncompatibleError(
                f"vLLM's configuration file cannot say {' '.join(flag.argv())}: a flag is there "
                "once, under its long name",
                remedy="Take the shell script, or give the flag in its long form and once.",
            )
        seen.add(flag.name)
        lines += [*comments([why(flag)]), to_yaml({flag.name[2:]: _value(flag)}).rstrip()]
    return "\n".join(lines) + "\n"


def _commented(text: str) -> list[str]:
    """Lines as comments, unwrapped: a value may have several, and none may leave the comment."""
    return [f"# {line}" for line in text.split("\n")]


def _value(flag: Flag) -> Any:
    """What vLLM turns into the flag's words again: it drops what is false, and splits lists."""
    if flag.value is None:
        return True
    if flag.more:
        return [flag.value, *flag.more]
    # Numbers stand without quotes where they come back as they were written.
    if re.fullmatch("[0-9]+", flag.value) and str(int(flag.value)) == flag.value:
        return int(flag.value)
    if re.fullmatch("[0-9]+[.][0-9]+", flag.value) and str(float(flag.value)) == flag.value:
        return float(flag.value)
    return flag.value
