"""Plans in the forms that people launch with."""

from __future__ import annotations

from serving.plan import Plan


def render(plan: Plan, form: str) -> str:
    """A plan as text."""
    from serving.render.shell import render_shell

    return render_shell(plan)
