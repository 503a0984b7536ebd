"""A release's table, put together from its packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.releases.generate import names, schemes
from serving.releases.generate.additional import additional_keys
from serving.releases.generate.environment import variables
from serving.releases.generate.flags import flags
from serving.releases.generate.packages import fetch_ascend, fetch_vllm
from serving.releases.generate.pairing import pairing, vllm_of
from serving.releases.generate.source import Sources
from serving.releases.release import SCHEMA

# Its documentation has the vendor's table of all releases.
NEWEST = "0.23.0"


def make_table(version: str, work: Path, *, newest: str = NEWEST) -> dict[str, Any]:
    """The table of a release of vllm-ascend; downloads what it needs into `work`.

    Args:
        version: `0.23.0`; its newest post-release is read.
        work: a folder for downloads, about 300 MB.
        newest: the release whose documentation knows all earlier ones.
    """
    package = fetch_ascend(version, work)
    documented = package if version == newest else fetch_ascend(newest, work)
    engine = fetch_vllm(vllm_of(package), work)
    plugin = Sources(package.root, "vllm_ascend")
    vllm = Sources(engine.root, "vllm")
    read = variables(vllm, "vllm")
    for name, row in variables(plugin, "vllm-ascend").items():
        known = read.setdefault(name, row)
        known["readers"] |= row["readers"]
        known.setdefault("default", row.get("default"))
    return {
        "schema": SCHEMA,
        "release": version,
        "packages": {package.name: package.version, engine.name: engine.version},
        "pairing": pairing(package, documented),
        "schemes": schemes.schemes(plugin),
        "packed": schemes.packed_model_types(plugin),
        "quantization": {
            "vllm": names.quantization_methods(vllm),
            "plugin": schemes.quantization_methods(plugin),
        },
        "additional_config": additional_keys(plugin),
        "environment": {
            name: {key: value for key, value in row.items() if value is not None}
            for name, row in sorted(read.items())
        },
        "flags": flags(vllm),
        "parsers": {
            "reasoning": names.parsers(vllm, "reasoning"),
            "tool": names.parsers(vllm, "tool"),
        },
        "tokenizer_modes": names.tokenizer_modes(vllm),
        "load_formats": sorted(names.load_formats(vllm) | schemes.load_formats(plugin)),
        "speculative": {
            "vllm": names.speculative_methods(vllm),
            "plugin": schemes.speculative_methods(plugin),
        },
    }
