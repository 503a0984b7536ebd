"""The practices that come with ModelSlim, in its `lab_practice`."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import yaml

from quantizers.modelslim.practice import API_VERSIONS, parse_practice
from quantizers.recipe import Recipe, read_text
from registry.errors import NotFoundError, ToolError
from toolchains import Toolchain

PREFIX = "practice:"
_DEFAULT = "default"


def package_folder(toolchain: Toolchain) -> Path:
    """Where msmodelslim is installed, without running its interpreter; raises ToolError."""
    for root in sorted(toolchain.python.parent.parent.glob("lib*/python3*/*-packages")):
        if (root / "msmodelslim" / "lab_practice").is_dir():
            return root / "msmodelslim"
    raise ToolError(
        f"The practices of {toolchain.name} were not found beside {toolchain.python}",
        remedy="Give the practice's own file: --recipe PATH .",
    )


def shipped_practices(toolchain: Toolchain) -> dict[str, Path]:
    """Files of the shipped practices for language models, by `config_id`."""
    found: dict[str, Path] = {}
    for path in sorted((package_folder(toolchain) / "lab_practice").glob("*/*.yaml")):
        try:
            value = yaml.safe_load(path.read_text(encoding="utf-8"))
            version, identifier = value["apiversion"], value["metadata"]["config_id"]
        except (yaml.YAMLError, KeyError, TypeError, OSError, UnicodeDecodeError):
            continue
        if version in API_VERSIONS:
            found.setdefault(str(identifier), path)
    return found


def practices_for(adapter: str, toolchain: Toolchain) -> list[str]:
    """Identifiers of the practices that ModelSlim keeps for a kind of model, and of its defaults.

    Args:
        adapter: a value of `--model_type`, see `quantizers.modelslim.families`.
        toolchain: that ModelSlim is in.
    """
    config = configparser.ConfigParser()
    config.read(package_folder(toolchain) / "config" / "config.ini", encoding="utf-8")
    rows = config["ModelAdapter"] if config.has_section("ModelAdapter") else {}
    kinds = [key for key, names in rows.items() if adapter in re.split(r"[,\s]+", names)]
    wanted = {_plain(kind) for kind in (*kinds, _DEFAULT)}
    return [
        identifier
        for identifier, path in shipped_practices(toolchain).items()
        if _plain(path.parent.name) in wanted
    ]


def _plain(kind: str) -> str:
    """A kind's name as its folder and its row in config.ini share it: step3_5, step_3_5."""
    return kind.replace("_", "").replace("-", "")


def load_practice(identifier: str, toolchain: Toolchain) -> Recipe:
    """Read a shipped practice; raises NotFoundError with those that there are."""
    known = shipped_practices(toolchain)
    if identifier not in known:
        raise NotFoundError(
            f"ModelSlim {toolchain.version} ships no practice {identifier!r}",
            remedy=f"It has {', '.join(sorted(known))}.",
        )
    return parse_practice(read_text(known[identifier]), identifier, str(known[identifier]))


def shipped_set(name: str, toolchain: Toolchain) -> Path | None:
    """A calibration set of ModelSlim's own; None if it has none of that name."""
    path = package_folder(toolchain) / "lab_calib" / name
    return path if "/" not in name and path.is_file() else None
