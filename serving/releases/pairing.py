"""Whether what is installed belongs together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from registry.finding import ERROR, WARNING, Finding

if TYPE_CHECKING:
    from serving.releases.release import Release

# What must match for the plugin to import and its kernels to load; other parts only should.
_MUST = ("vllm", "torch", "torch-npu", "cann")
_OPERATORS = ("<", ">", "=", "!", "~")


def pairing_faults(release: Release, installed: Mapping[str, str]) -> tuple[Finding, ...]:
    """Hold installed versions against those that a release belongs with.

    Unpaired parts show late and dark: as a symbol that is missing, as a crash in the first
    operator, or as wrong numbers.

    Args:
        release: its table.
        installed: distribution, `cann` or `python` → version; what is not there is not looked at.

    Returns:
        One finding for each part that does not match, those that must match first.
    """
    return tuple(sorted(_faults(release, installed), key=lambda finding: finding.severity != ERROR))


def _faults(release: Release, installed: Mapping[str, str]) -> Iterator[Finding]:
    for name, version in installed.items():
        pair = release.pairing.get(name.replace("_", "-").lower())
        if pair is None or _matches(version, pair.version):
            continue
        must = name.replace("_", "-").lower() in _MUST
        yield Finding(
            "pairing",
            ERROR if must else WARNING,
            f"{name} {version} is installed, and vLLM Ascend {release.number} belongs with "
            f"{name} {pair.version} ({pair.source})",
            f"Install {name} {pair.version}, or the release of vLLM Ascend that belongs with "
            f"{name} {version}.",
            name,
        )


def _matches(version: str, wanted: str) -> bool:
    if wanted.startswith(_OPERATORS):
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(wanted).contains(version, prereleases=True)
    return _plain(version) == _plain(wanted)


def _plain(version: str) -> str:
    """Without what does not change the code's interface: builds, post-releases, 8.3.RC2's case."""
    version = version.strip().lower().removeprefix("v").partition("+")[0]
    return re.sub(r"^(\d+(?:\.\d+)+)\.rc", r"\1rc", version)
