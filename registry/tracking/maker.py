"""Who made a record: this very data folder, on this machine, or a copy's original.

A copied data folder holds the records of the original's running work, and its locks are not the
original's: whoever works with the copy must neither end that work nor remove what it writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MACHINE = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class Kinship(Enum):
    """How sure it is that a record was made here."""

    OURS = "ours"  # this folder, this machine, this user
    UNSURE = "unsure"  # this folder, as far as can be told
    FOREIGN = "foreign"  # another folder, machine or user


@dataclass(frozen=True)
class Maker:
    """What tells a data folder from its copies.

    Attributes:
        device: number of the file system that the folder is on; after a reboot it may be another.
        inode: of the folder; moving it keeps it, copying does not.
        boot: of the kernel, this time; containers share it. Empty where unknown.
        machine: as installed; empty in most containers.
        user: the number of the user.
    """

    device: int
    inode: int
    boot: str
    machine: str
    user: int

    @classmethod
    def here(cls, folder: Path) -> Maker:
        """This process's user, with a data folder that exists."""
        known = folder.stat()
        machine = next(filter(None, map(_text, _MACHINE)), "")
        return cls(known.st_dev, known.st_ino, _text(_BOOT), machine, os.getuid())

    def to_json(self) -> dict[str, Any]:
        """For a record."""
        return asdict(self)

    def kinship(self, record: Mapping[str, Any] | None) -> Kinship:
        """Whether a record was made by this one.

        While the kernel runs, device and inode name one folder. After that the machine must be the
        same, and a changed device leaves a doubt: disks are numbered as they are found.

        Args:
            record: what `to_json` gave; None in records of older versions.
        """
        if not isinstance(record, Mapping):
            return Kinship.UNSURE
        if (record.get("user"), record.get("inode")) != (self.user, self.inode):
            return Kinship.FOREIGN
        same_device = record.get("device") == self.device
        if self.boot and record.get("boot") == self.boot:
            return Kinship.OURS if same_device else Kinship.FOREIGN
        machine = record.get("machine")
        if not (self.machine and machine):
            return Kinship.UNSURE
        if machine != self.machine:
            return Kinship.FOREIGN
        return Kinship.OURS if same_device else Kinship.UNSURE


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
