"""tqdm's progress bars, which most tools draw on standard error."""

from __future__ import annotations

import re
from collections.abc import Mapping

from registry.progress import Progress

_BAR = re.compile(
    r"^(?:\((?P<k>\d+)/(?P<n>\d+)\): )?(?P<stage>[^|]*?):?\s*"
    r"\d+%\|[^|]*\|\s*(?P<done>\d+)/(?P<total>\d+) \["
)


def read_bar(line: str, stages: Mapping[str, str], unnamed: str = "working") -> Progress | None:
    """What a bar says.

    Args:
        line: as the tool wrote it.
        stages: the users' words for the names of the tool's bars.
        unnamed: the stage of bars without a name.

    Returns:
        None if the line is no bar.
    """
    match = _BAR.match(line)
    if not match:
        return None
    named = match["stage"].strip()
    stage = stages.get(named, named or unnamed)
    if match["k"]:
        stage = f"{stage}, block {match['k']} of {match['n']}"
    return Progress(stage, int(match["done"]), int(match["total"]), "steps")
