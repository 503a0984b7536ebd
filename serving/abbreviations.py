"""Names of the engine's options as its parser takes them: beginnings of names count.

vLLM reads its command line with Python's argparse, which takes `--api-ke` for `--api-key` where no
other option begins so, and writes dashes for underscores before. qreg looks at options by name, and
so it has to know which one a word is for. A beginning is written out here, and the engine only sees
whole names.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from registry.errors import UsageError
from serving.releases import known, open_release

_SHOWN = 8  # names in a message


@lru_cache(maxsize=1)
def option_names() -> frozenset[str]:
    """Long options of `vllm serve` in any release that there is a table of, `--no-…` included.

    The engines that have no tables, vLLM on CPUs and on GPUs, have these, too. Of all releases: a
    beginning that is unique in one only would be taken for different options.
    """
    found = {"--help"}
    for release in known():
        for option in open_release(release).options.values():
            names = [name for name in (option.name, *option.aliases) if name.startswith("--")]
            found.update(names)
            if option.negatable:
                found.update(f"--no-{name[2:]}" for name in names)
    return frozenset(found)


def whole_name(word: str, names: Collection[str] | None = None) -> str:
    """The name of the option that a word stands for, as argparse finds it.

    Args:
        word: begins with `--`; with no `=VALUE`. What follows a dot, the key of a JSON option, is
            kept as it is.
        names: of the options; default: `option_names()`.

    Returns:
        The whole name, with dashes; a word that begins no known name as it is.

    Raises:
        UsageError: several options begin so.
    """
    names = option_names() if names is None else names
    head, dot, key = word.partition(".")
    head = head.replace("_", "-")
    if head in names:
        return f"{head}{dot}{key}"
    found = sorted(name for name in names if name.startswith(head))
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UsageError(
            f"{head} is the beginning of several options: {', '.join(found[:_SHOWN])}{more}",
            remedy="Write the option's whole name.",
        )
    return f"{found[0] if found else head}{dot}{key}"
