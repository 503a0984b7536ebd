"""python -m serving.releases.generate VERSION… [--into FOLDER] [--work FOLDER]"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from serving.releases.generate.table import make_table
from serving.releases.release import DATA


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.releases.generate")
    parser.add_argument("versions", nargs="+", metavar="VERSION", help="of vllm-ascend")
    parser.add_argument("--into", type=Path, default=DATA, help="where the tables go")
    parser.add_argument("--work", type=Path, help="keeps the downloads here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        for version in options.versions:
            table = make_table(version, work)
            target = options.into / f"{version}.json"
            target.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
            print(f"{target}: {len(table['flags'])} flags, {len(table['environment'])} variables")


if __name__ == "__main__":
    main()
