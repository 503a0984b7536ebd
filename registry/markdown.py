"""Text from outside in markdown: it stays text."""

from __future__ import annotations

import re
from typing import Any

from registry.claims import plain


def cell(text: Any) -> str:
    """Text in a cell of a table: no HTML, links, images or emphasis, and no end of the cell."""
    shown = re.sub(r"([\\`*\[\]|])", r"\\\1", plain(text))
    # Hubs make links of bare addresses, too.
    return shown.replace("<", "&lt;").replace("://", "&#58;//").replace("www.", "www&#46;")
