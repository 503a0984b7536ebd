"""qreg's own libraries, its folders and the clock."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from registry.config import Settings
from registry.doctor.check import ERROR, OK, UNKNOWN, WARNING, Check

GIB = 2**30
# Logs, evidence and journals need little, a pull needs the artifact's size besides.
_LEAST, _LITTLE = GIB // 4, 10 * GIB
# S3 refuses signatures that are more than 15 minutes off; tokens and certificates are stricter.
_SKEW, _REFUSED = 60.0, 900.0
_EXTRA = re.compile(r"extra\s*==\s*['\"](\w+)['\"]")

Versions = Callable[[str], str]


def libraries(
    requirements: Sequence[str] | None = None, version_of: Versions = metadata.version
) -> Iterator[Check]:
    """qreg's own libraries against what it was made for.

    Args:
        requirements: as its package writes them; by default those of the installed one.
        version_of: tells a distribution's version, or raises PackageNotFoundError.
    """
    from packaging.requirements import Requirement

    if requirements is None:
        try:
            requirements = metadata.requires("qreg") or ()
        except metadata.PackageNotFoundError:
            yield Check(
                "libraries", UNKNOWN, "qreg is not installed as a package, so its libraries were "
                "not looked at", "Install it with pip, in an environment of its own.",
            )  # fmt: skip
            return
    seen, faults = 0, 0
    for text in requirements:
        requirement = Requirement(text)
        marker = requirement.marker
        extra = _EXTRA.search(str(marker)) if marker else None
        if extra and extra.group(1) not in ("hub", "s3"):
            continue
        if marker and not marker.evaluate({"extra": extra.group(1) if extra else ""}):
            continue
        try:
            version = version_of(requirement.name)
        except metadata.PackageNotFoundError:
            if not extra:
                faults += 1
                yield Check(
                    "libraries", ERROR, f"qreg needs {requirement.name}, which is not installed",
                    f"pip install '{requirement.name}{requirement.specifier}'", requirement.name,
                )  # fmt: skip
            continue
        seen += 1
        if not requirement.specifier.contains(version, prereleases=True):
            faults += 1
            yield Check(
                "libraries", WARNING,
                f"{requirement.name} {version} is installed, and qreg was made for "
                f"{requirement.specifier}",
                f"pip install '{requirement.name}{requirement.specifier}'", requirement.name,
            )  # fmt: skip
    if not faults:
        yield Check("libraries", OK, f"qreg's {seen} libraries have the versions that it needs")


def folders(settings: Settings) -> Iterator[Check]:
    """Whether qreg's folders can be written to, and what room they have."""
    from registry.urls import without_credentials

    places = {"data": settings.data, "cache": settings.cache}
    if settings.registry.startswith("file://"):
        places["registry"] = Path(without_credentials(settings.registry).removeprefix("file://"))
    told: set[int] = set()  # file systems
    for name, folder in places.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            yield Check(
                "folders", ERROR, f"The {name} folder {folder} cannot be written to",
                f"Give yourself {there}, or set QREG_{name.upper()} to another folder.",
                str(folder),
            )  # fmt: skip
            continue
        device = there.stat().st_dev
        if device not in told:
            told.add(device)
            yield _room(name, folder, shutil.disk_usage(there).free)


def _room(name: str, folder: Path, free: int) -> Check:
    text = f"The {name} folder {folder} has {free / GIB:.1f} GiB of room"
    fix = f"Free some space (`qreg cache prune`), or set QREG_{name.upper()} to a larger disk."
    if free < _LEAST:
        return Check("folders", ERROR, text, fix, str(folder))
    if free < _LITTLE:
        return Check("folders", WARNING, f"{text}; models are larger", fix, str(folder))
    return Check("folders", OK, text, "", str(folder))


def clock(offsets: Mapping[str, float]) -> Check:
    """This machine's clock against those of services.

    Args:
        offsets: seconds that it is ahead of each service, from the `Date` of their answers.
    """
    if not offsets:
        return Check(
            "clock", UNKNOWN, "No service told the time, so the clock was not compared",
            "Compare `date -u` with a clock that you trust.",
        )  # fmt: skip
    # Of several the one nearest: a service's clock can be wrong, too.
    name = min(offsets, key=lambda key: abs(offsets[key]))
    off = offsets[name]
    way = "fast" if off > 0 else "slow"
    if abs(off) <= _SKEW:
        return Check("clock", OK, f"The clock agrees with {name}'s to {abs(off):.0f} s")
    refused = "; S3 refuses such requests" if abs(off) >= _REFUSED else ""
    return Check(
        "clock", WARNING, f"The clock is {abs(off):.0f} s {way} of {name}'s{refused}",
        "Set it: `timedatectl set-ntp true`, or start chrony.",
    )  # fmt: skip
