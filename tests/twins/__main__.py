"""python -m tests.twins MODEL SCHEME FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.twins import ARCHITECTURES, SCHEMES, write_twin

if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ARCHITECTURES or sys.argv[2] not in SCHEMES:
        sys.exit(f"{__doc__}\nMODEL: {', '.join(ARCHITECTURES)}\nSCHEME: {', '.join(SCHEMES)}")
    print(write_twin(Path(sys.argv[3]), sys.argv[1], sys.argv[2]))
