"""Bills of materials: valid by the library's own schema, and whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from toolchains.catalogue import LOCKS
from toolchains.lock import read_lock

ROOT = Path(__file__).parent.parent.parent
SOURCES = {
    "qreg": ROOT / "requirements.txt",
    **{path.stem: path for path in sorted(LOCKS.glob("*.txt"))},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbom")
    command = [sys.executable, "-W", "error", "-m", "toolchains.locks.sbom", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def test_there_is_one_for_qreg_and_one_a_lock(written: Path) -> None:
    names = {path.name.removesuffix(".cdx.json") for path in written.iterdir()}
    assert names == set(SOURCES) >= {"qreg", "llmcompressor", "vllm-ascend-aarch64"}


@pytest.mark.parametrize("name", SOURCES)
def test_every_pinned_package_is_a_component_with_its_hashes(written: Path, name: str) -> None:
    text = (written / f"{name}.cdx.json").read_text()
    faults = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert faults is None, str(faults)[:2000]
    found = {
        (entry["purl"], entry["name"], entry["version"]): {
            f"sha256:{value['content']}" for value in entry.get("hashes", [])
        }
        for entry in json.loads(text)["components"]
    }
    assert found == {
        (f"pkg:pypi/{pin.name.lower()}@{pin.version}", pin.name, pin.version): set(pin.hashes)
        for pin in read_lock(SOURCES[name])
    }
