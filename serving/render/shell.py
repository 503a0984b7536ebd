"""A plan as a shell script that can be pasted or kept."""

from __future__ import annotations

import shlex

from serving.plan import Plan


def render_shell(plan: Plan) -> str:
    """The launch as a POSIX shell script, each flag with its reason above it."""
    lines = [
        "#!/bin/sh",
        f"# {plan.artifact} {plan.digest}",
        f"# on {plan.hardware} with {plan.engine} {plan.release}".rstrip(),
        "set -eu",
    ]
    for flag in plan.flags:
        if flag.is_environment:
            lines.append(f"export {flag.name}={shlex.quote(flag.value or '')}  # {flag.reason}")
    lines.append("# " + "; ".join(f"{f.name}: {f.reason}" for f in plan.flags if f.argv()))
    words = [shlex.join(plan.command)]
    words += [shlex.join(flag.argv()) for flag in plan.flags if flag.argv()]
    lines.append("exec " + " \\\n  ".join(words))
    return "\n".join(lines) + "\n"
