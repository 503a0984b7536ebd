"""Plans for this machine look at what is installed here; plans for elsewhere do not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from registry.config import Settings
from serving import resolver
from serving.hardware import Detected, profile
from serving.plan import Plan
from serving.wishes import Wishes
from tests.checkpoints import write_quantized

PAIRED = {"vllm": "0.23.0", "torch": "2.10.0+cpu", "torch_npu": "2.10.0.post4"}


def _plan(
    folder: Path,
    settings: Settings,
    patch: pytest.MonkeyPatch,
    versions: Mapping[str, str],
    hardware: str | None = None,
) -> Plan:
    """The plan of a small model where NPUs and an engine of these versions are."""
    found = SimpleNamespace(python=Path("/opt/python"), version="0.23.0", versions=versions)
    patch.setattr(resolver, "find_toolchain", lambda name, settings: found)
    patch.setattr(resolver, "detect", lambda: Detected(profile("A2")))
    return resolver.make_plan(str(folder), Wishes(), settings, hardware=hardware)


def test_unpaired_parts_stop_a_launch_here(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_quantized(tmp_path / "m")
    assert _plan(folder, settings, monkeypatch, PAIRED).fits
    unpaired = {**PAIRED, "torch": "2.9.0"}
    plan = _plan(folder, settings, monkeypatch, unpaired)
    assert [error.id for error in plan.errors] == ["pairing"]
    assert "torch 2.10.0" in plan.errors[0].fix
    assert _plan(folder, settings, monkeypatch, unpaired, hardware="A2").fits
