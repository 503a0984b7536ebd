"""python -m tests.replay DEPLOYMENTS.jsonl [--architectures ARCHITECTURES.json] [--release N]"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from serving.releases import latest, open_release
from tests.replay.artifacts import Artifacts
from tests.replay.compare import Outcome, compare
from tests.replay.deployment import Deployment

EQUAL = 0.98  # of the flags that are compared; room must be judged right everywhere


def main() -> int:
    """Replay a file.

    Returns:
        0 if all bars are reached, 1 if not.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.replay")
    parser.add_argument("deployments", type=Path, help="a deployment a line")
    parser.add_argument(
        "--architectures",
        type=Path,
        help="config.json by name; by default architectures.json beside the deployments",
    )
    parser.add_argument("--release", help="of vLLM Ascend; by default the newest")
    given = parser.parse_args()
    path = given.architectures or given.deployments.with_name("architectures.json")
    for file, flag in ((given.deployments, "DEPLOYMENTS"), (path, "--architectures")):
        if not file.is_file():
            parser.error(f"there is no file {file}; give it as {flag}")
    architectures = json.loads(path.read_text(encoding="utf-8"))
    lines = given.deployments.read_text(encoding="utf-8").splitlines()
    rows = [Deployment.of(json.loads(line)) for line in lines if line.strip()]
    artifacts = Artifacts(architectures, rows)
    release = open_release(given.release) if given.release else latest()
    known = [row for row in rows if artifacts.knows(row) and row.is_planned_for]
    outcomes = [compare(row, artifacts.of(row), release) for row in known]
    return report(outcomes, skipped=len(rows) - len(known))


def report(outcomes: list[Outcome], *, skipped: int = 0) -> int:
    """Print what was found.

    Returns:
        0 if all bars are reached, 1 if not.
    """
    print(f"{'what':32} {'compared':>8} {'alike':>6} {'share':>8}  bar")
    reached = bool(outcomes)
    flags: Counter[str] = Counter(f for o in outcomes for f in o.deployment.correctness())
    excused = Counter(d.what for o in outcomes for d in o.differences if d.excuse)
    wrong = Counter(d.what for o in outcomes for d in o.differences if not d.excuse)
    for name, count in flags.most_common():
        _row(f"  --{name}" if " " not in name else f"  {name}", count - excused[name], wrong[name])
    total = sum(flags.values()) - sum(excused.values())
    differing = sum(wrong[name] for name in flags)
    reached &= _row("correctness flags", total, differing, EQUAL)
    rows = len(outcomes)
    reached &= _row("deployments with all flags alike", rows, sum(o.differs() for o in outcomes))
    misjudged = sum(o.differs("feasible") for o in outcomes)
    reached &= _row("their sizes judged feasible", rows, misjudged, 1)
    misfits = sum(o.differs("own plan") for o in outcomes)
    reached &= _row("qreg's own plan fits", rows, misfits, 1)
    print(f"skipped, as their architecture or hardware is not known: {skipped}")
    for outcome in outcomes:
        for d in outcome.differences:
            whose = " (not of this release)" if d.excuse else ""
            print(f"{d.deployment}: {d.what}: {d.theirs} / qreg: {d.ours}{whose}: {d.reason}")
    return 0 if reached else 1


def _row(what: str, compared: int, wrong: int, bar: float = 0) -> bool:
    share = (compared - wrong) / compared if compared else 1
    text = f"{bar:.0%}" if bar else ""
    print(f"{what:32} {compared:8} {compared - wrong:6} {share:8.1%}  {text}")
    return share >= bar


if __name__ == "__main__":
    sys.exit(main())
