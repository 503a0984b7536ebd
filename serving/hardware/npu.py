"""From npu-smi's figures to a profile, and what to say about the devices on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from registry.finding import INFO, WARNING, Finding
from serving.hardware.catalogue import MIB, PROFILES, hbm, lpddr
from serving.hardware.npu_smi import Chip, Reading
from serving.hardware.profile import Hardware, devices_text, number_text

# Devices in these states can be computed with.
_USABLE = ("OK", "Warning")
# An idle 64 GB NPU shows 5 % of its memory in use, a 310P chip up to 9 %.
_IDLE_SHARE = 0.15


def chip_kind(name: str) -> str:
    """`A2`, `A3`, `310P` or `950` for a name that npu-smi prints; empty for others."""
    plain = name.upper().removeprefix("ASCEND").strip()
    if plain.startswith("910B"):
        return "A2"
    if plain.startswith("310P"):
        return "310P"
    if plain.startswith("950"):
        return "950"
    # A3's dies are printed without a letter; the first 910 prints 910A or 910PremiumA.
    return "A3" if plain == "910" or plain.startswith(("910C", "910_93")) else ""


def choose_npus(
    reading: Reading, shown: tuple[int, ...] | None = None
) -> tuple[Hardware | None, tuple[Finding, ...]]:
    """The profile of this machine's NPUs: of the kind that it has most of, without broken ones.

    Args:
        reading: what npu-smi says.
        shown: numbers of those that the environment lets programs see; None for all.
    """
    findings = list(_unread(reading))
    chips = [chip for chip in reading.chips if shown is None or chip.number in shown]
    known = [chip for chip in chips if chip_kind(chip.name)]
    findings += _unknown([chip for chip in chips if not chip_kind(chip.name)])
    sound = [chip for chip in known if chip.health in _USABLE]
    findings += _unhealthy(known)
    if not sound:
        return None, tuple(findings)
    groups = Counter((chip_kind(chip.name), _size(chip)) for chip in sound)
    (kind, size), _ = groups.most_common(1)[0]
    chosen = [chip for chip in sound if (chip_kind(chip.name), _size(chip)) == (kind, size)]
    findings += _mixed(sound, chosen, shown)
    findings += _busy(chosen, shown)
    return _profile(kind, chosen, shown), tuple(findings)


def _profile(kind: str, chips: list[Chip], shown: tuple[int, ...] | None) -> Hardware:
    total = min(chip.total for chip in chips)
    memory = lpddr(total) if kind == "310P" else hbm(total * MIB / 2**30)
    # Of a kind's profiles the one with the nearest memory gives name and product.
    rows = [row for row in PROFILES if row.chip == kind]
    two = len({chip.board for chip in chips}) < len(chips)
    if kind == "310P":
        rows = [row for row in rows if ("Duo" in row.name) == two]
    row = min(rows, key=lambda row: abs(row.memory - memory))
    numbers = tuple(sorted(chip.number for chip in chips))
    if shown is not None:
        numbers = tuple(number for number in shown if number in numbers)
    elif numbers == tuple(range(len(numbers))):
        numbers = ()
    return replace(row, devices=len(chips), memory=memory, numbers=numbers, shown=shown or ())


def _size(chip: Chip) -> int:
    """Memory in steps of 16 GB: chips of one board differ a little."""
    return round(chip.total / 16384)


def _unread(reading: Reading) -> Iterator[Finding]:
    if reading.unread:
        yield Finding(
            "npu-smi",
            WARNING,
            f"{len(reading.unread)} line(s) of npu-smi's output could not be read: "
            f"{reading.unread[0][:100]!r}",
            "Look at `npu-smi info` yourself; if NPUs are missing here, say --hardware and "
            "--devices.",
        )


def _unknown(chips: list[Chip]) -> Iterator[Finding]:
    for name in sorted({chip.name for chip in chips}):
        yield Finding(
            "npu-unknown",
            WARNING,
            f"NPUs of type {name} are none that vLLM Ascend runs on; they were left out",
            "If it is a new name of a known chip, say so with --hardware .",
        )


def _unhealthy(chips: list[Chip]) -> Iterator[Finding]:
    for health in sorted({chip.health for chip in chips} - {"OK"}):
        numbers = [chip.number for chip in chips if chip.health == health]
        left_out = health not in _USABLE
        yield Finding(
            "npu-health",
            WARNING,
            f"NPU {number_text(numbers)} reports {health}"
            + (" and was left out" if left_out else ""),
            "See `npu-smi info -t health -i ID`, and have it repaired or reset."
            if left_out
            else f"It is used; leave it out with --devices if it fails. {_look(numbers)}",
            number_text(numbers),
        )


def _look(numbers: list[int]) -> str:
    return f"`npu-smi info -t health -i {numbers[0]}` says more."


def _mixed(
    sound: list[Chip], chosen: list[Chip], shown: tuple[int, ...] | None
) -> Iterator[Finding]:
    others = [chip for chip in sound if chip not in chosen]
    if others:
        kinds = sorted({f"{chip.name} with {chip.total} MB" for chip in others})
        yield Finding(
            "npu-mixed",
            WARNING,
            f"This machine has different NPUs: {len(chosen)} × {chosen[0].name} are used, "
            f"{len(others)} others ({', '.join(kinds)}) are left out",
            "One launch needs equal NPUs; choose the others with --hardware and --devices "
            f"{devices_text([chip.number for chip in others], shown)} .",
        )


def _busy(chips: list[Chip], shown: tuple[int, ...] | None) -> Iterator[Finding]:
    busy = [chip for chip in chips if chip.processes or chip.used > _IDLE_SHARE * chip.total]
    if not busy:
        return
    numbers = number_text([chip.number for chip in busy])
    names = sorted({name for chip in busy for _, name in chip.processes if name})
    by = f" by {', '.join(names)}" if names else ""
    most = max(busy, key=lambda chip: chip.used)
    idle = [chip.number for chip in chips if chip not in busy]
    yield Finding(
        "npu-busy",
        WARNING if len(busy) < len(chips) or names else INFO,
        f"NPU {numbers} is in use{by}: {most.used} of {most.total} MB on NPU {most.number}",
        f"Stop what runs there, or use the others: --devices {devices_text(idle, shown)} ."
        if idle
        else "Stop what runs there first; the plan counts the whole memory.",
        numbers,
    )
