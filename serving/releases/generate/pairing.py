"""What belongs together: vLLM, torch, torch_npu, CANN and Python of a release."""

from __future__ import annotations

import re

from serving.releases.generate.packages import Package

_POLICY = "docs/source/community/versioning_policy.md"
_REQUIRES = re.compile(r"^Requires-Dist: ([\w.-]+) *(.*)$", re.MULTILINE)
_CANN_IMAGE = re.compile(r"^FROM quay\.io/ascend/cann:([\w.]+)-", re.MULTILINE)
Fact = dict[str, str]


def vllm_of(package: Package) -> str:
    """The number of the matching vLLM, from the image's recipe."""
    match = re.search(r"^ARG VLLM_TAG=v([\w.]+)", package.text("Dockerfile"), re.MULTILINE)
    if match is None:
        raise LookupError("the Dockerfile names no VLLM_TAG")
    return match.group(1)


def pairing(package: Package, newest: Package) -> dict[str, Fact]:
    """Part: version and source.

    The vendor's table of releases is in the documentation; where the release's own copy lacks its
    row, the newest release's copy has it. What the package requires exactly wins over the table.
    """
    facts: dict[str, Fact] = {
        "vllm-ascend": {"version": package.version, "source": "PyPI"},
        "vllm": {"version": vllm_of(package), "source": "Dockerfile"},
    }
    for holder in (package, newest):
        row = _policy_row(holder, package.version)
        if row:
            where = f"{_POLICY} of {holder.version}"
            for name, version in row.items():
                facts.setdefault(name, {"version": version, "source": where})
            break
    required = dict(_REQUIRES.findall(package.text("PKG-INFO")))
    for name in ("torch", "torch-npu", "transformers", "numpy", "triton-ascend"):
        wanted = required.get(name, "").strip()
        if wanted and name not in facts:
            facts[name] = {"version": wanted.removeprefix("=="), "source": "PKG-INFO"}
    if image := _CANN_IMAGE.search(package.text("Dockerfile")):
        facts["cann"] = {"version": image.group(1).upper(), "source": "Dockerfile"}
    return dict(sorted(facts.items()))


def _policy_row(package: Package, version: str) -> Fact:
    for line in package.text(_POLICY).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) > 4 and cells[0] == f"v{version}":
            torch, _, torch_npu = (part.strip() for part in cells[4].partition("/"))
            row = {
                "vllm": cells[1].lstrip("v"),
                "python": cells[2].replace(" ", ""),
                "torch": torch,
                # The local part of a version names a build, not a release of PyPI.
                "torch-npu": torch_npu.partition("+")[0],
            }
            if len(cells) > 5 and cells[5] not in ("", "N/A"):
                row["triton-ascend"] = cells[5]
            return row
    return {}
