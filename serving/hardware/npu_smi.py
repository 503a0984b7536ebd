"""Reading what `npu-smi info` prints.

Two lines stand for a chip: the board's (id, name, health, power, …) and the chip's (bus, use,
memory). Widths, rules and columns differ between its versions (23 to 26) and between chips, so
lines are told apart by what is in their cells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_BUS = re.compile(r"^[0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]$")
_USAGE = re.compile(r"(\d+)\s*/\s*(\d+)")
_HEALTHS = ("OK", "Warning", "Alarm", "Critical")


@dataclass(frozen=True)
class Chip:
    """One device as npu-smi shows it.

    Attributes:
        number: the device number that programs use.
        board: its NPU id; boards with two chips share it.
        slot: its number on the board.
        name: `910B3`, `Ascend910`, `310P3`.
        health: `OK`, `Warning`, `Alarm`, `Critical`, or whatever else stands there.
        used, total: memory in MB as npu-smi counts them.
        processes: number and name of processes on it.
        held: MB that processes hold, by their number, on the host and in their container.
    """

    number: int
    board: int
    slot: int
    name: str
    health: str
    used: int
    total: int
    processes: tuple[tuple[int, str], ...] = ()
    held: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Reading:
    """All devices, the tool's version, and lines of the device table that made no sense."""

    chips: tuple[Chip, ...]
    version: str
    unread: tuple[str, ...]


def read_npu_smi(text: str) -> Reading:
    """Read the output of `npu-smi info`; what cannot be read is said and never guessed."""
    chips: list[Chip] = []
    unread: list[str] = []
    board: tuple[int, str, str] | None = None
    processes: list[_Process] = []
    version = re.search(r"npu-smi\s+([\w.]+)", text)
    in_processes = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|"):
            continue
        if "Process id" in line:
            in_processes = True
        elif in_processes:
            if process := _process(cells):
                processes.append(process)
        elif len(cells) < 3 or cells[0].startswith(("NPU", "Chip")):
            continue
        elif _BUS.match(cells[1]):
            chip = _chip(cells, board, len(chips))
            board = None
            if chip is None:
                unread.append(line.strip())
            else:
                chips.append(chip)
        else:
            if board is not None:
                unread.append(f"NPU {board[0]} {board[1]} has no second line")
            board = _board(cells)
            if board is None:
                unread.append(line.strip())
    if board is not None:
        unread.append(f"NPU {board[0]} {board[1]} has no second line")
    found = tuple(_with_processes(chip, processes) for chip in chips)
    return Reading(found, version.group(1) if version else "", tuple(unread))


def _board(cells: list[str]) -> tuple[int, str, str] | None:
    words = cells[0].split()
    if len(words) != 2 or not words[0].isdecimal() or not cells[1]:
        return None
    health = next((h for h in _HEALTHS if h.lower() == cells[1].lower()), cells[1])
    return int(words[0]), words[1], health


def _chip(cells: list[str], board: tuple[int, str, str] | None, position: int) -> Chip | None:
    words = cells[0].split()
    usages = _USAGE.findall(cells[2])
    if board is None or not usages or not words or not all(w.isdecimal() for w in words):
        return None
    used, total = (int(number) for number in usages[-1])  # HBM stands last where there is some
    if not total:
        return None
    # A3 and 310P print the device number; A2 has one chip a board, counted in order.
    number = int(words[1]) if len(words) > 1 else position
    return Chip(number, board[0], int(words[0]), board[1], board[2], used, total)


@dataclass(frozen=True)
class _Process:
    """A row of the table of processes; `inside` is its number in its container, if that is told."""

    board: int
    slot: int
    pid: int
    name: str
    megabytes: int | None
    inside: int | None


def _process(cells: list[str]) -> _Process | None:
    words = cells[0].split()
    if len(cells) < 4 or len(words) != 2 or not cells[1].isdecimal():
        return None
    memory = int(cells[3]) if cells[3].isdecimal() else None
    inside = int(cells[4]) if len(cells) > 4 and cells[4].isdecimal() else None
    return _Process(int(words[0]), int(words[1]), int(cells[1]), cells[2], memory, inside)


def _with_processes(chip: Chip, processes: list[_Process]) -> Chip:
    own = [row for row in processes if (row.board, row.slot) == (chip.board, chip.slot)]
    held = [
        (pid, row.megabytes)
        for row in own
        if row.megabytes is not None
        for pid in (row.pid, row.inside)
        if pid is not None
    ]
    return replace(chip, processes=tuple((row.pid, row.name) for row in own), held=tuple(held))
