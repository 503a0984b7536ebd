"""Lets ModelSlim fail in ways that are known. Runs inside the modelslim toolchain.

python modelslim_failures.py JOB

JOB: {"output": DIR, "cases": {name: [argument, …]}}

Each case is `msmodelslim quant` with those arguments, in a process forked after the imports, with
its standard input closed. Its output goes to `DIR/NAME.log`, its exit code to `DIR/NAME.code`.
"""

import json
import os
import sys
import traceback
from multiprocessing import get_context
from pathlib import Path

from msmodelslim.cli.__main__ import main as msmodelslim


def run(case):
    name, arguments, output = case
    with Path(output, f"{name}.log").open("wb") as log, open(os.devnull) as nothing:
        for number, file in ((0, nothing), (1, log), (2, log)):
            os.dup2(file.fileno(), number)
    sys.stdin = os.fdopen(0)
    sys.argv = ["msmodelslim", "quant", *arguments]
    code = 0
    try:
        msmodelslim()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except Exception:  # noqa: BLE001 - as the interpreter would end
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    Path(output, f"{name}.code").write_text(str(code))


def main(job):
    cases = [(name, arguments, job["output"]) for name, arguments in job["cases"].items()]
    with get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        pool.map(run, cases, chunksize=1)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
