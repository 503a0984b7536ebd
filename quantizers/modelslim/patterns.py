"""ModelSlim's include and exclude patterns: shell patterns with braces (wcmatch's `BRACE`).

`*` also crosses dots; `{a,b}` and `{1..3}` are expanded first. A pattern may be a full name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

_INNERMOST = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)\Z")
_MOST = 100_000  # texts that a pattern may stand for


class NamePatterns:
    """A list of patterns, for asking which modules it names.

    Args:
        texts: as a practice has them.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        texts = list(texts)
        self._names = set(texts)
        expanded = [one for text in texts for one in expand_braces(text)]
        joined = "|".join(translate(text) for text in dict.fromkeys(expanded))
        self._pattern = re.compile(joined) if joined else None

    def match(self, module: str) -> bool:
        """Whether a module is named."""
        if module in self._names:
            return True
        return self._pattern is not None and self._pattern.match(module) is not None


def expand_braces(text: str) -> list[str]:
    """All texts that a pattern with braces stands for; braces without a comma or range stay."""
    done: list[str] = []
    waiting = [text]
    while waiting and len(done) + len(waiting) < _MOST:
        pattern = waiting.pop()
        for match in _INNERMOST.finditer(pattern):
            choices = _choices(match.group(1))
            if choices:
                before, after = pattern[: match.start()], pattern[match.end() :]
                waiting += [f"{before}{choice}{after}" for choice in choices]
                break
        else:
            done.append(pattern)
    return done


def _choices(inner: str) -> list[str]:
    if "," in inner:
        return inner.split(",")
    found = _RANGE.match(inner)
    if not found:
        return []
    first, last = int(found[1]), int(found[2])
    if abs(last - first) >= _MOST:
        return []
    step = 1 if last >= first else -1
    return [str(number) for number in range(first, last + step, step)]
