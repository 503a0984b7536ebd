"""Fixtures: a qreg of its own for each test, and the toolchains of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry.config import Settings
from registry.config import load as load_settings

USER = load_settings()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings below the test's folder; toolchains are those of the user."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("QREG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("QREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("QREG_TOOLCHAINS", str(USER.toolchains))
    # No public hub is asked by accident, and failures are not waited for.
    monkeypatch.setenv("QREG_SOURCES", f"file://{tmp_path}/data/registry")
    monkeypatch.setenv("QREG_ATTEMPTS", "2")
    monkeypatch.setenv("QREG_STALL", "5")
    return load_settings()


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        return found


Run = Callable[..., Ran]


@pytest.fixture
def qreg(settings: Settings, tmp_path: Path) -> Run:
    """Runs `qreg …` as a user would, in a process of its own."""

    def run(*arguments: object, env: dict[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "qreg", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def built() -> Callable[[str], Path]:
    """Builds the demo's models with the real toolchain, once for all tests, in the user's cache."""
    from qreg.demo import model
    from toolchains import find_toolchain

    def build(name: str) -> Path:
        toolchain = find_toolchain("llmcompressor", USER)
        recipe: model.ModelRecipe = getattr(model, name)
        return model.build_model(recipe, toolchain, USER)

    return build
