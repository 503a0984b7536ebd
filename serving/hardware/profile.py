"""A hardware profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from registry.errors import UsageError

CPU, NPU, CUDA = "cpu", "npu", "cuda"


@dataclass(frozen=True)
class Hardware:
    """What one node offers, and how many such nodes there are.

    Attributes:
        name: for people and for plans.
        kind: `cpu`, `npu` or `cuda`.
        devices: how many a node has.
        memory: bytes of each device that an engine can have: what torch sees, not what the maker
            writes on the box.
        cores: processor cores of the node; 0 where they are not known.
        chip: `A2`, `A3`, `310P` or `950`, the key of the release tables; `H100` and the like.
        product: what one buys, in words.
        nodes: how many there are.
        image_suffix: of vLLM Ascend's images for the chip, `-a3`.
        dtypes: that weights and activations which are not quantized can have, the usual one first.
        numbers: of the devices to use on each node; empty stands for all.
        shown: numbers of the devices that the environment lets programs see, in its order; empty
            where it hides none. Those who choose devices count among them, from 0.
    """

    name: str
    kind: str
    devices: int
    memory: int
    cores: int
    chip: str = ""
    product: str = ""
    nodes: int = 1
    image_suffix: str = ""
    dtypes: tuple[str, ...] = ("bfloat16", "float16", "float32")
    numbers: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()

    @property
    def device_numbers(self) -> tuple[int, ...]:
        """The numbers of the devices to use on each node."""
        return self.numbers or tuple(range(self.devices))

    @property
    def world(self) -> int:
        """Devices of all nodes together."""
        return self.nodes * self.devices

    def with_nodes(self, nodes: int) -> Hardware:
        """The same on a number of nodes; raises UsageError for less than one."""
        if nodes < 1:
            raise UsageError(
                f"--nodes {nodes} leaves nothing to serve on", remedy="Say --nodes 1 or more."
            )
        return replace(self, nodes=nodes)

    def with_devices(self, numbers: Sequence[int]) -> Hardware:
        """The same with some of the devices only.

        Args:
            numbers: as programs count them, see `shown`.

        Raises:
            UsageError: the node has no device of that number.
        """
        counted = {n: n for n in self.device_numbers}
        if self.shown:
            counted = {n: own for n, own in enumerate(self.shown) if own in counted}
        wanted = sorted(set(numbers))
        missing = [number for number in wanted if number not in counted]
        if missing or not wanted:
            there = number_text(tuple(counted))
            hidden = f"; the environment shows {number_text(self.shown)} alone, counted from 0"
            raise UsageError(
                f"{self.name} has no device {number_text(missing)}: it has {there}"
                + (hidden if self.shown else ""),
                remedy=f"Choose among {there}, as in --devices {min(counted, default=0)} .",
            )
        chosen = tuple(counted[number] for number in wanted)
        return replace(self, devices=len(chosen), numbers=chosen)


def parse_devices(text: str) -> tuple[int, ...]:
    """Read `0-7` or `0,2,4-6`; raises UsageError."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(
                f"--devices {text!r} is no list of device numbers",
                remedy="Write it as 0-7 or 0,2,4 .",
            )
        end = int(last) if dash else int(first)
        if end < int(first) or end > 4096:
            raise UsageError(
                f"--devices {text!r} counts from {first} to {end}",
                remedy="Write ranges upwards, as in 0-7 .",
            )
        found += range(int(first), end + 1)
    return tuple(sorted(set(found)))


def number_text(numbers: Sequence[int]) -> str:
    """`0-3,6` for 0, 1, 2, 3, 6."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def devices_text(numbers: Sequence[int], shown: Sequence[int] | None) -> str:
    """Devices as `--devices` takes them: by their place among those that are shown."""
    return number_text([shown.index(n) for n in numbers] if shown else numbers)
