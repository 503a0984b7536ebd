"""Reading a lock, and the calls of pip that install exactly what it names.

A lock is a requirements file: a pinned package a line, with the sha256 of every file of that
version. pip's hash mode is all or nothing within one call, and a few packages have no hash that
would hold everywhere: torch is another file on each index that a user may have chosen (for CPUs,
for CUDA), and what only a vendor's index has was not to be seen when the lock was made. Such
packages stand in the lock without a hash, and are installed by a call of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pin:
    """One package of a lock.

    Attributes:
        requirement: as pip reads it, `NAME==VERSION` with its marker if it has one; no hashes.
        name: of the package, as the lock writes it.
        version: the only one that is let in.
        hashes: of the files of that version, each `sha256:` and 64 hexadecimal digits; empty for a
            package that cannot be hashed.
        applies: whether its marker, if any, is true for this interpreter on this machine.
    """

    requirement: str
    name: str
    version: str
    hashes: tuple[str, ...]
    applies: bool


@dataclass(frozen=True)
class Step:
    """One call of pip.

    Attributes:
        doing: what it does, for messages.
        arguments: what follows `pip install`.
        hashed: whether pip refuses what has another hash than the lock's.
        counted: whether it installs packages of the lock, and not what torch's wheel names.
    """

    doing: str
    arguments: tuple[str, ...]
    hashed: bool
    counted: bool


def read_lock(path: Path) -> tuple[Pin, ...]:
    """The packages of a lock in its order.

    Raises:
        OSError: there is no such file.
        ValueError: a line is no pinned requirement.
    """
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return tuple(_pin(line.strip()) for line in lines if line.strip() and line.strip()[0] != "#")


def steps(pins: Iterable[Pin], folder: Path) -> tuple[Step, ...]:
    """The calls of pip that install a lock's packages, in order.

    Args:
        pins: the lock.
        folder: where the requirements files of these calls are written; it must last until then.
    """
    pins = tuple(pins)
    hashed = [pin for pin in pins if pin.hashes]
    unhashed = [pin for pin in pins if not pin.hashes]
    found = []
    if hashed:
        lines = [f"{p.requirement} {' '.join(f'--hash={h}' for h in p.hashes)}" for p in hashed]
        file = _write(folder / "hashed.txt", lines)
        asked = ("--no-deps", "--require-hashes", "-r", file)
        found.append(Step("installing the lock", asked, hashed=True, counted=True))
    if unhashed:
        file = _write(folder / "unhashed.txt", [pin.requirement for pin in unhashed])
        doing = f"installing {' and '.join(pin.name for pin in unhashed)}, by version alone"
        found.append(Step(doing, ("--no-deps", "-r", file), hashed=False, counted=True))
    for pin in pins:
        if pin.name == "torch":
            # The lock leaves out the accelerator libraries that a torch wheel pins for itself: a
            # CPU wheel has none, a CUDA wheel names exactly those of its build. Constraints with
            # hashes would turn pip's hash mode on, and these libraries have none.
            file = _write(folder / "constraints.txt", [pin.requirement for pin in pins])
            doing = "installing the libraries that torch's own wheel names"
            found.append(Step(doing, (pin.requirement, "-c", file), hashed=False, counted=False))
    return tuple(found)


def _pin(line: str) -> Pin:
    from packaging.requirements import Requirement

    text, *hashes = line.split(" --hash=")
    requirement = Requirement(text.strip())
    (specifier,) = requirement.specifier
    if specifier.operator != "==":
        raise ValueError(f"a lock pins each package with ==, found {text.strip()!r}")
    applies = requirement.marker is None or requirement.marker.evaluate()
    found = tuple(value.strip() for value in hashes)
    return Pin(text.strip(), requirement.name, specifier.version, found, applies)


def _write(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)
