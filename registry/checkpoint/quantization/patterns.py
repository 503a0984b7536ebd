"""Targets and ignore lists of compressed-tensors: names of modules, and `re:` patterns."""

from __future__ import annotations

import time
from collections.abc import Iterable

import regex

# Patterns come with the artifact, and some take for ever; the standard library cannot be stopped.
_LONGEST = 4096  # characters; ModelSlim joins the numbers of all layers in one expression
_LARGE_REPEAT = regex.compile(r"\{\d*,?\d{3,}")
_BUDGET = 2.0  # seconds for all of a list


class Patterns:
    """A list of targets, for asking which modules it names.

    A pattern `re:…` matches from the start of a module's name, any other is the name or its last
    parts. A pattern that is no regular expression, or that takes too long, names nothing.

    Args:
        texts: as a quantization_config has them.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._names = {text for text in texts if not text.startswith("re:")}
        self._expressions = []
        self._left = _BUDGET
        for text in texts:
            expression = text.removeprefix("re:")
            # A short text can ask for a compiled form of gigabytes: by large repetitions.
            harmless = len(expression) <= _LONGEST and not _LARGE_REPEAT.search(expression)
            if text.startswith("re:") and harmless:
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
        began = time.monotonic()
        try:
            return any(
                self._left > 0 and expression.match(module, timeout=self._left) is not None
                for expression in self._expressions
            )
        except (TimeoutError, RecursionError, MemoryError):
            self._left = 0.0
            return False
        finally:
            self._left -= time.monotonic() - began
