"""A page of HTML with everything in it, no scripts and nothing to load; what all reports share."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from registry.names import printable

# Colour-blind safe (Okabe and Ito 2008), repeated where there are more parts.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .75rem .25rem 0;text-align:left;
vertical-align:top}th{color:#666;font-weight:500;white-space:nowrap}code{font-size:.9em;
overflow-wrap:anywhere}.number{text-align:right;font-variant-numeric:tabular-nums}
.error{color:#b00020;font-weight:600}.warning{color:#8a5a00;font-weight:600}.info{color:#00639b}
.key{display:inline-block;width:.8em;height:.8em;margin-right:.5em}svg{width:100%;height:2.5rem}
svg.plot{height:auto}svg text{font:11px system-ui,sans-serif;fill:currentColor}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th{color:#aaa}
.error{color:#ff6b7d}.warning{color:#ffc34d}.info{color:#7cc7ff}}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page; `parts` are HTML, the title is text. Control characters are shown escaped."""
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        *parts,
        "</html>",
    ]
    return printable("\n".join(lines)) + "\n"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Facts, a row each: a name, which is text, and a cell, which is HTML."""
    body = "".join(f"<tr><th>{escape(key)}</th><td>{cell}</td></tr>" for key, cell in rows)
    return f"<table>{body}</table>"


def colour(number: int) -> str:
    """One of a few colours that the colour-blind can tell apart, repeated after the last."""
    return COLOURS[number % len(COLOURS)]
