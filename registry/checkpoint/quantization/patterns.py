"""Targets and ignore lists of compressed-tensors: names of modules, and `re:` patterns."""

from __future__ import annotations

import time
from collections.abc import Iterable

import regex

# Patterns come with the artifact, and some take for ever; the standard library cannot be stopped.
_LONGEST = 4096  # characters; ModelSlim joins the numbers of all layers in one expression
_ALL = 2**18  # characters of a list; compiling takes microseconds for each
_MOST = 5000  # expressions of a list; compiling takes some microseconds for each
_MOST_REPEATS = 1000  # all repetitions of an expression multiplied, as if each were in the other
_REPEATS = regex.compile(r"(?<=\{|\{\d*,)\d+")
_VERBOSE = regex.compile(r"\(\?[a-zA-Z0-9]*x")  # room and comments hide in repetitions
BUDGET = 2.0  # seconds for all lists of a configuration


class Budget:
    """Time that lists of patterns may take together.

    Attributes:
        left: seconds.
    """

    def __init__(self, seconds: float = BUDGET) -> None:
        self.left = seconds


class Patterns:
    """A list of targets, for asking which modules it names.

    A pattern `re:…` matches from the start of a module's name, any other is the name or its last
    parts. A pattern that is no regular expression, or that takes too long, names nothing.

    Args:
        texts: as a quantization_config has them.
        budget: shared with other lists; one of its own by default.
    """

    def __init__(self, texts: Iterable[str], budget: Budget | None = None) -> None:
        self._names: set[str] = set()
        self._expressions: list[regex.Pattern[str]] = []
        self._budget = budget or Budget()
        characters = 0
        for text in texts:
            if not text.startswith("re:"):
                self._names.add(text)
                continue
            expression = text.removeprefix("re:")
            characters += len(expression)
            if characters > _ALL or len(self._expressions) >= _MOST:
                continue
            if _is_harmless(expression):
                try:
                    self._expressions.append(regex.compile(expression))
                except (regex.error, ValueError, RecursionError, OverflowError, MemoryError):
                    continue

    def __contains__(self, text: str) -> bool:
        """Whether the list has this very text, such as the class `Linear`."""
        return text in self._names

    def match(self, module: str) -> bool:
        """Whether a module is named."""
        return self._is_named(module) or self._is_matched(module)

    def _is_named(self, module: str) -> bool:
        if not self._names:
            return False
        rest = module
        while rest:
            if rest in self._names:
                return True
            rest = rest.partition(".")[2]
        return False

    def _is_matched(self, module: str) -> bool:
        left = self._budget.left
        if left <= 0 or not self._expressions:
            return False
        began = time.monotonic()
        try:
            for expression in self._expressions:
                rest = left - (time.monotonic() - began)
                if rest <= 0:
                    return False
                if expression.match(module, timeout=rest) is not None:
                    return True
            return False
        except (TimeoutError, RecursionError, MemoryError):
            left = 0.0
            return False
        finally:
            self._budget.left = left - (time.monotonic() - began)


def _is_harmless(expression: str) -> bool:
    """Whether it can be compiled: a short text can ask for a compiled form of gigabytes."""
    if len(expression) > _LONGEST or _VERBOSE.search(expression):
        return False
    repeats = 1
    for number in _REPEATS.findall(expression):
        repeats *= max(1, int(number[:9]))
        if repeats > _MOST_REPEATS:
            return False
    return True
