"""The package as users get it: public names, light start, a wheel that works by itself."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import qreg as package
from tests.checkpoints import write_quantized
from toolchains.lock import Pin, read_lock

ROOT = Path(__file__).parent.parent


def test_every_public_name_is_there() -> None:
    assert sorted(package.__all__) == package.__all__ == sorted(set(package.__all__))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["quantize", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom qreg.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'mlflow', 'rich', 'yaml', 'psutil', 'torch', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_the_real_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qreg", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in (ROOT / "README.md").read_text()


def test_a_shadowed_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "serving.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "import qreg"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert str(tmp_path / "serving.py") in done.stderr


def test_requirements_hold_all_that_qreg_runs_with() -> None:
    """What `requirements.txt` installs is `qreg[all]`, whole, as it is developed with."""
    pins = read_lock(ROOT / "requirements.txt")
    seen: set[tuple[str, str]] = set()
    queue = [Requirement("qreg[all]")]
    while queue:
        wanted = queue.pop()
        new = {(canonicalize_name(wanted.name), e) for e in ("", *wanted.extras)} - seen
        seen |= new
        for name, extra in new:
            needs = map(Requirement, importlib.metadata.requires(name) or [])
            queue += [n for n in needs if not n.marker or n.marker.evaluate({"extra": extra})]
    assert {name for name, _ in seen} - {"qreg"} == {pin.name for pin in pins if pin.applies}
    developed = {(pin.name, pin.version, pin.hashes) for pin in _developed()}
    assert {(pin.name, pin.version, pin.hashes) for pin in pins} <= developed


def test_development_is_pinned_by_hash() -> None:
    assert not [pin.requirement for pin in _developed() if not pin.hashes]


def _developed() -> tuple[Pin, ...]:
    return read_lock(ROOT / "requirements-dev.txt")


@pytest.mark.e2e
def test_the_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("qreg-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if "dist-info" not in name}
    assert tops == {"qreg", "registry", "toolchains", "quantizers", "serving"}
    assert "quantizers/recipes/llmcompressor/w8a8-dynamic.yaml" in names
    assert "toolchains/locks/vllm-cpu.txt" in names
    assert "serving/releases/data/0.23.0.json" in names
    venv = tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    # Hashes among constraints would ask for one of the wheel, too.
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("".join(f"{pin.requirement}\n" for pin in _developed()))
    install = [python, "-m", "pip", "install", "-q", "-c", constraints, wheel]
    subprocess.run(install, check=True, capture_output=True)
    model = write_quantized(tmp_path / "model")
    version = _run(venv / "bin" / "qreg", "--version", cwd=tmp_path)
    assert package.__version__ in version
    assert "W8A8_DYNAMIC" in _run(venv / "bin" / "qreg", "inspect", model, cwd=tmp_path)


def _run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
