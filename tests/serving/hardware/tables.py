"""Tables as `npu-smi info` prints them, drawn for a test: a layout each for A2, A3 and 310P."""

# ruff: noqa: E501 - tables are as wide as the tool draws them

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One chip: board, slot, name, health, and MB in use and in all."""

    board: int
    name: str
    health: str = "OK"
    used: int = 3400
    total: int = 65536
    slot: int = 0


def a2(rows: Sequence[Row], processes: Mapping[int, str] | None = None, wide: bool = False) -> str:
    """910B: one chip a board, no device number on its second line."""
    first = 114 if wide else 96
    lines = _head("26.1.0" if wide else "24.1.0", first)
    lines += [
        "| NPU   Name                | Health        | Power(W)    Temp(C)   Hugepages-Usage(page)|"
    ]
    lines += [
        "| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)|"
    ]
    lines += [_rule("=", first)]
    for row in rows:
        lines.append(
            f"| {row.board:<5} {row.name:<19} | {row.health:<13} | 99.8        41                0    / 0             |"
        )
        usage = f"{row.used:<5}/ {row.total}"
        lines.append(
            f"| {row.slot:<25} | 0000:C{row.board}:00.0  | 7           0    / 0          {usage:<20} |"
        )
        lines.append(_rule("=", first))
    return "\n".join(lines + _processes([row.board for row in rows], processes or {}, first)) + "\n"


def a3(boards: int, health: Mapping[int, str] | None = None) -> str:
    """Ascend910: two dies a board; the Phy-ID is the device number."""
    lines = _head("25.2.1", 96)
    lines += [
        "| NPU   Name                | Health        | Power(W)    Temp(C)   Hugepages-Usage(page)|"
    ]
    lines += [
        "| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)|"
    ]
    lines += [_rule("=", 96)]
    for number in range(2 * boards):
        board, slot = divmod(number, 2)
        state = (health or {}).get(number, "OK")
        power = "-" if slot else "180.3"
        lines.append(
            f"| {board:<5} {'Ascend910':<19} | {state:<13} | {power:<11} 36                0    / 0             |"
        )
        lines.append(
            f"| {slot:<5} {number:<19} | 0000:{0x80 + number:02X}:00.0  | 0           0    / 0          3305 / 65536         |"
        )
        lines.append(_rule("=" if slot else "-", 96))
    return "\n".join(lines + _processes(range(boards), {}, 96)) + "\n"


def a310p(rows: Sequence[Row]) -> str:
    """310P: no column for HBM, NPU ids with gaps, no table of processes."""
    lines = _head("25.5.1", 104)
    lines += [
        "| NPU     Name                  | Health          | Power(W)  Temp(C)  Hugepages-Usage(page)|"
    ]
    lines += [
        "| Chip    Device                | Bus-Id          | AICore(%) Memory-Usage(MB)             |"
    ]
    lines += [_rule("=", 104)]
    for number, row in enumerate(rows):
        lines.append(
            f"| {row.board:<7} {row.name:<21} | {row.health:<15} | NA           52                0     / 0             |"
        )
        lines.append(
            f"| {row.slot:<7} {number:<21} | 0000:{number + 1:02X}:00.0    | 0            {row.used} / {row.total}            |"
        )
        lines.append(_rule("-", 104))
    return "\n".join(lines) + "\n"


def _head(version: str, width: int) -> list[str]:
    return [_rule("-", width), f"| npu-smi {version}   Version: {version} |", _rule("-", width)]


def _rule(sign: str, width: int) -> str:
    return f"+{sign * width}+"


def _processes(boards: Sequence[int] | range, running: Mapping[int, str], width: int) -> list[str]:
    lines = [_rule("-", width)]
    lines += [
        "| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |"
    ]
    lines += [_rule("=", width)]
    for board in boards:
        if board in running:
            lines.append(f"| {board:<7} 0   | {4200 + board}  | {running[board]}  | 52990  |")
        else:
            lines.append(f"| No running processes found in NPU {board} |")
    return [*lines, _rule("=", width)]
