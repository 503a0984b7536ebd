"""Which devices ModelSlim works on, as users name them and as the tool wants it.

The environment variables are those of vLLM Ascend's quantization guide.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import IncompatibleError, UsageError

_DEVICE = re.compile(r"(cpu|npu)(?::(\d+(?:,\d+)*))?\Z")
VISIBLE, ALLOCATION = "ASCEND_RT_VISIBLE_DEVICES", "PYTORCH_NPU_ALLOC_CONF"


@dataclass(frozen=True)
class Device:
    """Where the work is done.

    Attributes:
        kind: `cpu` or `npu`.
        numbers: of the NPUs, as this process counts them; empty for the tool's first one.
    """

    kind: str
    numbers: tuple[int, ...] = field(default=())

    def argument(self, *, several: bool) -> str:
        """The value of `--device`: NPUs are counted anew among those that are visible.

        Args:
            several: whether the practice's API takes more than one; v0 finds them by itself.
        """
        if len(self.numbers) < 2 or not several:
            return self.kind
        return f"npu:{','.join(str(number) for number in range(len(self.numbers)))}"

    def environment(self, have: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What the guide sets: the NPUs that are seen, and no expandable memory segments."""
        if self.kind == "cpu":
            return {}
        found = {ALLOCATION: "expandable_segments:False"}
        if self.numbers:
            # Where some are hidden already, numbers count the others.
            seen = [part for part in have.get(VISIBLE, "").split(",") if part.strip()]
            chosen = [seen[n] if seen else str(n) for n in self.numbers]
            found[VISIBLE] = ",".join(chosen)
        return found


def read_device(text: str) -> Device:
    """Read `cpu`, `npu` or `npu:0,1,…`; raises UsageError."""
    found = _DEVICE.match(text)
    numbers = tuple(int(number) for number in found[2].split(",")) if found and found[2] else ()
    if not found or len(set(numbers)) != len(numbers) or (found[1] == "cpu" and len(numbers) > 1):
        raise UsageError(
            f"{text!r} is no device of ModelSlim's", remedy="Write cpu, npu, or npu:0,1,2,3 ."
        )
    return Device(found[1], numbers)


def default_device(system: Path = Path("/dev")) -> str:
    """`npu` where there is one, else `cpu`."""
    return "npu" if any(system.glob("davinci[0-9]*")) else "cpu"


def check_device(device: Device, system: Path = Path("/dev")) -> None:
    """The machine has the NPUs that are asked for; raises IncompatibleError.

    Args:
        device: what is asked for.
        system: where the driver shows NPUs, as `davinci0`, `davinci1`, …
    """
    if device.kind == "cpu":
        return
    there = sorted(p.name for p in system.glob("davinci[0-9]*"))
    if not there:
        raise IncompatibleError(
            "This machine has no NPU (no /dev/davinci0)",
            remedy="Use --device cpu, or run on a machine with NPUs; in a container pass "
            "/dev/davinci* , /dev/davinci_manager and /dev/hisi_hdc to it.",
        )
    visible = [part for part in os.environ.get(VISIBLE, "").split(",") if part.strip()]
    if VISIBLE in os.environ and not visible:
        raise IncompatibleError(
            f"{VISIBLE} is empty, which hides all NPUs",
            remedy=f"Unset it, or name NPUs in it: export {VISIBLE}=0,1 .",
        )
    count = len(visible) or len(there)
    beyond = [number for number in device.numbers if number >= count]
    if beyond:
        raise IncompatibleError(
            f"There is no NPU {beyond[0]}: this machine shows {count}",
            remedy=f"Name NPUs from 0 to {count - 1}.",
        )
