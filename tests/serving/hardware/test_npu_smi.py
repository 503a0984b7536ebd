"""NPUs in every layout that npu-smi prints, sound, broken, mixed and busy."""

from __future__ import annotations

import pytest

from serving.hardware.npu import chip_kind, choose_npus
from serving.hardware.npu_smi import read_npu_smi
from tests.serving.hardware.tables import Row, a2, a3, a310p

GIB = 2**30
EIGHT = [Row(board, "910B3") for board in range(8)]


@pytest.mark.parametrize("wide", [False, True])
def test_a2(wide: bool) -> None:
    hardware, findings = choose_npus(read_npu_smi(a2(EIGHT, wide=wide)))
    assert hardware is not None and findings == ()
    assert (hardware.name, hardware.devices, hardware.image_suffix) == ("A2", 8, "")
    assert hardware.memory == int(60.96 * GIB) and hardware.numbers == ()


def test_a2_with_half_the_memory() -> None:
    rows = [Row(board, "910B4", used=2881, total=32768) for board in range(8)]
    hardware, findings = choose_npus(read_npu_smi(a2(rows)))
    assert hardware is not None and hardware.name == "A2-32G" and findings == ()
    assert 28 * GIB < hardware.memory < 30 * GIB


def test_a3_has_two_dies_a_board() -> None:
    reading = read_npu_smi(a3(8))
    assert [chip.number for chip in reading.chips] == list(range(16)) and not reading.unread
    hardware, findings = choose_npus(reading)
    assert hardware is not None and findings == ()
    assert (hardware.name, hardware.devices, hardware.image_suffix) == ("A3", 16, "-a3")


def test_310p_cards_of_one_and_of_two_chips() -> None:
    single = [Row(board, "310P3", used=1844, total=21527) for board in (0, 32, 96, 32768)]
    hardware, findings = choose_npus(read_npu_smi(a310p(single)))
    assert hardware is not None and findings == ()
    assert (hardware.name, hardware.devices, hardware.memory) == ("310P", 4, 21_527_000_000)
    assert hardware.dtypes == ("float16",)
    duo = [
        Row(board, "310P3", used=1400, total=total, slot=slot)
        for board in (1, 2)
        for slot, total in ((0, 44278), (1, 43693))
    ]
    hardware, findings = choose_npus(read_npu_smi(a310p(duo)))
    assert hardware is not None and findings == ()
    assert (hardware.name, hardware.devices, hardware.memory) == ("300I-Duo-96G", 4, 43_693_000_000)


def test_a_broken_npu_is_left_out_and_a_doubtful_one_is_named() -> None:
    rows = [Row(3, "910B3", "Warning"), Row(6, "910B3", "Critical")]
    rows = [next((r for r in rows if r.board == row.board), row) for row in EIGHT]
    hardware, findings = choose_npus(read_npu_smi(a2(rows)))
    assert hardware is not None
    assert hardware.numbers == (0, 1, 2, 3, 4, 5, 7) and hardware.devices == 7
    said = {finding.where: finding for finding in findings}
    assert "Critical and was left out" in said["6"].message
    assert "Warning" in said["3"].message and "--devices" in said["3"].fix


def test_no_sound_npu_is_none() -> None:
    hardware, findings = choose_npus(read_npu_smi(a3(1, {0: "Alarm", 1: "Offline"})))
    assert hardware is None and {f.id for f in findings} == {"npu-health"} and len(findings) == 2


def test_different_cards_are_not_taken_for_one_kind() -> None:
    rows = [*EIGHT[:6], Row(6, "910B4", total=32768), Row(7, "910B4", total=32768)]
    hardware, findings = choose_npus(read_npu_smi(a2(rows)))
    assert hardware is not None and (hardware.name, hardware.devices) == ("A2", 6)
    (finding,) = findings
    assert finding.id == "npu-mixed" and "2 others (910B4 with 32768 MB)" in finding.message
    assert "--devices 6-7" in finding.fix


def test_busy_npus_are_named_with_what_runs_there() -> None:
    rows = [Row(b, "910B3", used=56363 if b < 2 else 3400) for b in range(8)]
    hardware, (finding,) = choose_npus(read_npu_smi(a2(rows, {0: "VLLM::Worker", 1: "python3"})))
    assert hardware is not None and hardware.devices == 8
    assert finding.id == "npu-busy" and finding.where == "0-1"
    assert "VLLM::Worker, python3" in finding.message and "--devices 2-7" in finding.fix


def test_a_process_alone_makes_an_npu_busy() -> None:
    _, (finding,) = choose_npus(read_npu_smi(a2(EIGHT, {5: "python3"})))
    assert finding.where == "5"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("0000:C3:00.0", "????"),
        lambda text: text.replace("910B3               | OK            ", "910B3", 1),
        lambda text: "\n".join(line for line in text.splitlines() if "0000:C4" not in line),
        lambda text: text.replace("3400 / 65536", "-    / -", 1),
    ],
)
def test_lines_that_make_no_sense_are_said_and_the_rest_is_read(spoil: object) -> None:
    assert callable(spoil)
    reading = read_npu_smi(spoil(a2(EIGHT)))
    assert len(reading.chips) == 7 and reading.unread
    hardware, findings = choose_npus(reading)
    assert hardware is not None and hardware.devices == 7
    assert findings[0].id == "npu-smi" and "could not be read" in findings[0].message


@pytest.mark.parametrize(
    "text", ["", "\x00\xff|||", "| | |\n| |", "dcmi model initialized failed", "+---+\n| NPU |"]
)
def test_garbage_has_no_chips(text: str) -> None:
    assert read_npu_smi(text).chips == ()


def test_chips_by_their_names() -> None:
    kinds = {
        "910B1": "A2", "910B4": "A2", "Ascend910B3": "A2", "Ascend910": "A3", "910C": "A3",
        "310P3": "310P", "Ascend950DT": "950", "910A": "", "910PremiumA": "", "310": "", "": "",
    }  # fmt: skip
    assert {name: chip_kind(name) for name in kinds} == kinds


def test_an_older_npu_is_said_to_be_none() -> None:
    hardware, (finding,) = choose_npus(read_npu_smi(a2([Row(0, "910A", total=32768)])))
    assert hardware is None and finding.id == "npu-unknown" and "910A" in finding.message
