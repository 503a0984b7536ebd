"""Plans in the forms that people and machines start servers from; none adds anything to a plan."""

from __future__ import annotations

from importlib import import_module

from registry.errors import UsageError
from serving.plan import Plan

# Format → module and function; the module is imported when the format is asked for.
FORMATS = {
    "shell": ("serving.render.shell", "render_shell"),
    "docker": ("serving.render.docker", "render_docker"),
    "compose": ("serving.render.compose", "render_compose"),
    "kubernetes": ("serving.render.kubernetes", "render_kubernetes"),
    "config": ("serving.render.config", "render_config"),
    "python": ("serving.render.python", "render_python"),
}


def render(plan: Plan, form: str, **options: str) -> str:
    """A plan as text.

    Args:
        plan: also one with errors; they stand at its head as comments.
        form: one of `FORMATS`.
        options: of the format's own function, such as `image`.

    Raises:
        UsageError: there is no such format, or it has no such option.
        IncompatibleError: the plan cannot be said in that format.
    """
    if form not in FORMATS:
        raise UsageError(
            f"A plan cannot be written as {form!r}", remedy=f"Choose one of {', '.join(FORMATS)}."
        )
    module, name = FORMATS[form]
    function = getattr(import_module(module), name)
    allowed = function.__kwdefaults__ or {}
    for option in options:
        if option not in allowed:
            fitting = f"It has {', '.join(allowed)}." if allowed else "It has none."
            raise UsageError(f"The format {form} has no option {option!r}", remedy=fitting)
    text: str = function(plan, **options)
    return text
