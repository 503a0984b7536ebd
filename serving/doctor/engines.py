"""Toolchains: the engine of this machine, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from registry.config import Settings
from registry.doctor import ERROR, OK, UNKNOWN, WARNING, Check
from registry.errors import NotFoundError, QregError
from serving.engines import open_engine
from serving.releases import Release, nearest_release, pairing_faults
from toolchains import find_toolchain
from toolchains.status import BROKEN, OWN, READY, Status, all_statuses

# What an engine is made of, told with its version.
_PARTS = ("vllm", "vllm-ascend", "torch", "torch-npu", "transformers", "triton-ascend")


def engine(name: str, settings: Settings, cann: str = "") -> Iterator[Check]:
    """The engine that would run here: whether it is there, and whether its parts belong together.

    Args:
        name: of the engine.
        settings: where toolchains are.
        cann: the version of CANN; empty where there is none or it is not known.
    """
    chosen = open_engine(name)
    try:
        toolchain = find_toolchain(chosen.toolchain, settings)
    except QregError as error:
        yield Check("engine", ERROR, error.message, error.remedy, name)
        return
    parts = {key.replace("_", "-").lower(): value for key, value in toolchain.versions.items()}
    told = ", ".join(f"{part} {parts[part]}" for part in _PARTS if part in parts)
    yield Check(
        "engine", OK, f"{name} {toolchain.version} runs in {toolchain.python}"
        + (f" ({told})" if told else ""), "", name,
    )  # fmt: skip
    if not chosen.has_releases:
        return
    release, doubts = nearest_release(toolchain.version)
    for doubt in doubts:
        yield Check("pairing", UNKNOWN, doubt.message, doubt.fix, name)
    installed = dict(toolchain.versions)
    if toolchain.python_version:
        installed["python"] = toolchain.python_version
    yield from pairing(release, {**installed, **({"cann": cann} if cann else {})})


def pairing(release: Release, installed: Mapping[str, str]) -> Iterator[Check]:
    """Each part that a release belongs with, held against what is installed."""
    faults = {finding.where: finding for finding in pairing_faults(release, installed)}
    names = {name.replace("_", "-").lower(): name for name in installed}
    for part, pair in release.pairing.items():
        name = names.get(part)
        if name is None:
            if part in ("vllm", "torch", "torch-npu", "cann"):
                yield Check(
                    "pairing", UNKNOWN, f"The version of {part} is not known; vLLM Ascend "
                    f"{release.number} belongs with {pair.version}",
                    f"See that {part} {pair.version} is installed.", part,
                )  # fmt: skip
        elif name in faults:
            fault = faults[name]
            status = ERROR if fault.severity == "error" else WARNING
            yield Check("pairing", status, fault.message, fault.fix, part)
        else:
            yield Check(
                "pairing", OK,
                f"{part} {installed[name]} belongs with vLLM Ascend {release.number}", "", part,
            )  # fmt: skip


def toolchains(settings: Settings, needed: str) -> Iterator[Check]:
    """All other toolchains: which are there, which are broken."""
    try:
        statuses = all_statuses(settings)
    except NotFoundError as error:
        yield Check("toolchains", UNKNOWN, error.message, error.remedy)
        return
    there = [s for s in statuses if s.state in (READY, OWN) and s.name != needed]
    for status in statuses:
        if status.state == BROKEN and status.name != needed:
            yield Check(
                "toolchains", WARNING, f"Toolchain {status.name} is broken: {status.problem}",
                f"qreg toolchain remove {status.name} , then qreg toolchain install {status.name}",
                status.name,
            )  # fmt: skip
    yield Check("toolchains", OK, f"Ready besides: {_listed(there) or 'none'}")


def _listed(statuses: list[Status]) -> str:
    return ", ".join(f"{status.name} {status.version}".strip() for status in statuses)
