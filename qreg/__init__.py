"""qreg: a registry for quantized large language models and the way to run them.

The public Python API, imported when first used:

    settings = qreg.load_settings()
    result = qreg.quantize(qreg.QuantizationRequest("./model", name="org/Model-W8A8"), settings)
    publication = qreg.publish(result.folder, settings)
    found = qreg.inspect(qreg.resolve("hf://org/Model-W8A8", settings))
    print(found.facts.architecture, found.findings)
    pulled = qreg.pull("org/Model-W8A8", settings)
    plan = qreg.make_plan("org/Model-W8A8", qreg.Wishes(port=8001), settings)
    with qreg.launch(plan, settings) as server:
        print(qreg.smoke(server, settings).answer)
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantizers import QuantizationRequest, QuantizationResult, quantize
    from quantizers.adopt import adopt
    from quantizers.convert import convert
    from quantizers.quality.measure import Quality, measure_quality
    from quantizers.reproduce import reproduce
    from registry.artifact import Digest, FileEntry, Manifest
    from registry.config import Settings
    from registry.config import load as load_settings
    from registry.describe import describe_folder
    from registry.diff import diff
    from registry.errors import QregError
    from registry.finding import Finding
    from registry.inspection import Inspection, inspect
    from registry.lint import CHIPS, Target, lint
    from registry.reference import Reference
    from registry.resolve import resolve
    from registry.transfer.publishing import publish
    from registry.transfer.pulling import pull
    from registry.transfer.verification import verify
    from serving.generate import generate
    from serving.launch import launch
    from serving.plan import Plan
    from serving.resolver import make_plan
    from serving.smoke import smoke
    from serving.wishes import Wishes
    from toolchains import find_toolchain
    from toolchains.install import install_toolchain

__version__ = "0.1.0"

_HOMES = {
    "CHIPS": "registry.lint",
    "Digest": "registry.artifact",
    "FileEntry": "registry.artifact",
    "Finding": "registry.finding",
    "Inspection": "registry.inspection",
    "Manifest": "registry.artifact",
    "Plan": "serving.plan",
    "QregError": "registry.errors",
    "Quality": "quantizers.quality.measure",
    "QuantizationRequest": "quantizers",
    "QuantizationResult": "quantizers",
    "Reference": "registry.reference",
    "Settings": "registry.config",
    "Target": "registry.lint",
    "Wishes": "serving.wishes",
    "adopt": "quantizers.adopt",
    "convert": "quantizers.convert",
    "describe_folder": "registry.describe",
    "diff": "registry.diff",
    "find_toolchain": "toolchains",
    "generate": "serving.generate",
    "inspect": "registry.inspection",
    "install_toolchain": "toolchains.install",
    "launch": "serving.launch",
    "lint": "registry.lint",
    "load_settings": "registry.config",
    "make_plan": "serving.resolver",
    "measure_quality": "quantizers.quality.measure",
    "publish": "registry.transfer.publishing",
    "pull": "registry.transfer.pulling",
    "quantize": "quantizers",
    "reproduce": "quantizers.reproduce",
    "resolve": "registry.resolve",
    "smoke": "serving.smoke",
    "verify": "registry.transfer.verification",
}
_RENAMED = {"load_settings": "load"}

__all__ = [
    "CHIPS",
    "Digest",
    "FileEntry",
    "Finding",
    "Inspection",
    "Manifest",
    "Plan",
    "QregError",
    "Quality",
    "QuantizationRequest",
    "QuantizationResult",
    "Reference",
    "Settings",
    "Target",
    "Wishes",
    "__version__",
    "adopt",
    "convert",
    "describe_folder",
    "diff",
    "find_toolchain",
    "generate",
    "inspect",
    "install_toolchain",
    "launch",
    "lint",
    "load_settings",
    "make_plan",
    "measure_quality",
    "publish",
    "pull",
    "quantize",
    "reproduce",
    "resolve",
    "smoke",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'qreg' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def _refuse_shadows() -> None:
    """`registry`, `serving`, … are plain names: a user's own folder or module may bear them."""
    ours = Path(__file__).resolve().parent.parent
    for package in ("registry", "toolchains", "quantizers", "serving"):
        spec = importlib.util.find_spec(package)
        found = spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
        if found and ours not in Path(found).resolve().parents:
            raise ImportError(
                f"qreg's package {package!r} is shadowed by {found}. Start Python from another "
                "folder or rename that file; an isolated installation (pipx, uv tool, Docker) "
                "avoids this."
            )


_refuse_shadows()
