"""Words for a POSIX shell that a terminal can show, too."""

from __future__ import annotations

import shlex
from itertools import groupby

from registry.names import printable


def plain_quote(word: str) -> str:
    """A word, quoted, of printable characters and line ends alone.

    All else is written by `printf` in octal, as not every sh knows `$'…'`. Tabs are, too: what
    prints a script may make spaces of them.
    """
    if not acts(word):
        return shlex.quote(word)
    runs = [(acting, "".join(run)) for acting, run in groupby(word, acts)]
    return "".join(_printf(run) if acting else shlex.quote(run) for acting, run in runs)


def acts(text: str) -> bool:
    """Whether a text holds something that a terminal would act on."""
    return "\t" in text or printable(text) != text


def _printf(text: str) -> str:
    """Characters but line ends, which `$(…)` would cut off at its end."""
    try:
        data = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(errors="surrogatepass")
    digits = "".join(f"\\{byte:03o}" for byte in data)
    return f"\"$(printf '{digits}')\""
