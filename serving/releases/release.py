"""What one release of vLLM Ascend, with its matching vLLM, knows and reads.

The tables in `data` are made from the packages on PyPI by `serving.releases.generate`; every entry
names the file of the package that it was read from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
SCHEMA = 1
# Kinds of layers with quantization schemes of their own, and kinds of NPUs.
LINEAR, MOE, ATTENTION = "linear", "moe", "attention"
DEVICES = ("A2", "A3", "310P", "950")
# Methods of quantization whose artifacts the plugin reads.
MODELSLIM, COMPRESSED_TENSORS = "modelslim", "compressed-tensors"
# How many words a flag takes.
SWITCH, ONE, OPTIONAL, MANY = "switch", "one", "optional", "many"


@dataclass(frozen=True)
class Option:
    """A flag of `vllm serve`.

    Attributes:
        name: `--max-model-len`.
        takes: `switch` (no value), `one`, `optional` (none or one) or `many`.
        type: of a value: `int`, `float`, `str`, `json` or `bool`.
        aliases: other spellings, `-tp`.
        choices: the only values it takes; empty where any is taken.
        negatable: whether `--no-…` exists.
        deprecated: whether the engine warns that it goes away.
        default: where it is a plain value in the code, else None.
        source: the file of vLLM that adds it.
    """

    name: str
    takes: str
    type: str
    aliases: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()
    negatable: bool = False
    deprecated: bool = False
    default: Any = None
    source: str = ""


@dataclass(frozen=True)
class Key:
    """A key of `--additional-config`.

    Attributes:
        name: with dots for keys below others, `ascend_compilation_config.enable_npugraph_ex`.
        source: the file of the plugin that reads it.
        default: where it is a plain value in the code, else None.
        environment: the variable that is read where the key is not given; empty where none is.
        open: whether any key below it is taken.
    """

    name: str
    source: str
    default: Any = None
    environment: str = ""
    open: bool = False


@dataclass(frozen=True)
class Variable:
    """An environment variable that code reads: `readers` says which package, in which file."""

    name: str
    readers: Mapping[str, str]
    default: Any = None


@dataclass(frozen=True)
class Pair:
    """The version of something that a release needs, and where that stands."""

    version: str
    source: str


@dataclass(frozen=True)
class Parsers:
    """Names for `--reasoning-parser` and `--tool-call-parser`."""

    reasoning: frozenset[str]
    tool: frozenset[str]


@dataclass(frozen=True)
class Release:
    """One release; `number` is vLLM Ascend's, `0.23.0`, without a post-release."""

    number: str
    table: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def package(self) -> str:
        """The version of the package that was read: `0.23.0.post1`."""
        return str(self.table["packages"]["vllm-ascend"])

    @property
    def vllm(self) -> str:
        """The matching vLLM."""
        return self.pairing["vllm"].version

    @cached_property
    def pairing(self) -> Mapping[str, Pair]:
        """vllm, torch, torch-npu, cann, python, …: what belongs to this release."""
        return {name: Pair(**row) for name, row in self.table["pairing"].items()}

    def schemes(self, kind: str, device: str, method: str = MODELSLIM) -> frozenset[str]:
        """The schemes that layers of a kind can have on a device.

        Args:
            kind: `linear`, `moe` or `attention`.
            device: `A2`, `A3`, `310P` or `950`.
            method: `modelslim` or `compressed-tensors`.
        """
        return frozenset(self.table["schemes"][method].get(device, {}).get(kind, {}))

    def scheme_source(self, kind: str, scheme: str, device: str) -> str:
        """The file of the plugin that has a scheme; empty where none has."""
        return str(self.table["schemes"][MODELSLIM].get(device, {}).get(kind, {}).get(scheme, ""))

    def devices_with(self, kind: str, scheme: str, method: str = MODELSLIM) -> tuple[str, ...]:
        """The devices that can run a scheme."""
        return tuple(d for d in DEVICES if scheme in self.schemes(kind, d, method))

    def methods(self, device: str) -> frozenset[str]:
        """Values of `--quantization` that can work on a device.

        The plugin takes fp8 anywhere, but only the 950 computes with it; on 310P the plugin
        registers ModelSlim's reader alone (`pre_register_and_update` in `vllm_ascend/platform.py`).
        """
        found = frozenset(self.table["quantization"]["plugin"]["values"])
        if device == "310P":
            return found & {"ascend"}
        return found if device == "950" else frozenset(m for m in found if "fp8" not in m)

    @property
    def packed(self) -> Mapping[str, Mapping[str, list[str]]]:
        """Model type: fused module → the checkpoint's modules that it is made of.

        Experts of ModelSlim artifacts load only for types that have `experts` here.
        """
        found: Mapping[str, Mapping[str, list[str]]] = self.table["packed"]["types"]
        return found

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """The flags of the matching vLLM's `serve`, by their name."""
        return {
            name: Option(
                name,
                row["takes"],
                row["type"],
                tuple(row.get("aliases", ())),
                tuple(row.get("choices", ())),
                bool(row.get("negatable")),
                bool(row.get("deprecated")),
                row.get("default"),
                row["source"],
            )
            for name, row in self.table["flags"].items()
        }

    @cached_property
    def _by_alias(self) -> Mapping[str, Option]:
        return {alias: option for option in self.options.values() for alias in option.aliases}

    def option(self, word: str) -> Option | None:
        """The flag that a word of the command line names; None where the release has none.

        Known as well are aliases, underscores for dashes, `--no-…` of what can be negated, values
        after `=`, single keys of JSON options (`--compilation-config.mode`) and `-O3`.
        """
        name, _, _ = word.partition("=")
        if re.fullmatch(r"-O(\d|\..+)?", name):
            level = self.options.get("--optimization-level")
            return level if level and "." not in name else self.options.get("--compilation-config")
        name, dot, _ = name.partition(".")
        if name.startswith("--"):
            name = name.replace("_", "-")
        found = self.options.get(name) or self._by_alias.get(name)
        if found is None and name.startswith("--no-"):
            found = self.options.get(f"--{name[5:]}")
            return found if found and found.negatable else None
        return None if dot and found and found.type != "json" else found

    def knows_flag(self, word: str) -> bool:
        """Whether the matching vLLM's parser knows a flag."""
        return self.option(word) is not None

    @cached_property
    def additional_config(self) -> Mapping[str, Key]:
        """Keys of `--additional-config` that the plugin reads, by their dotted name."""
        return {
            name: Key(
                name,
                row["source"],
                row.get("default"),
                row.get("environment", ""),
                bool(row.get("open")),
            )
            for name, row in self.table["additional_config"].items()
        }

    def unread_keys(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Dotted keys of an additional configuration that nothing in the release reads."""
        return tuple(self._unread(config, ""))

    def _unread(self, config: Mapping[str, Any], above: str) -> Iterator[str]:
        for name, value in config.items():
            dotted = f"{above}{name}"
            key = self.additional_config.get(dotted)
            if key is None:
                yield dotted
            elif (
                isinstance(value, Mapping)
                and not key.open
                and any(known.startswith(f"{dotted}.") for known in self.additional_config)
            ):
                yield from self._unread(value, f"{dotted}.")

    @cached_property
    def environment(self) -> Mapping[str, Variable]:
        """Environment variables that the code of vLLM or of the plugin reads, by name."""
        return {
            name: Variable(name, row["readers"], row.get("default"))
            for name, row in self.table["environment"].items()
        }

    def ignores_variable(self, name: str) -> bool:
        """Whether nothing reads a variable.

        Only names that begin with VLLM_ can be judged: they are read by vLLM and its plugins or by
        nobody. CANN, HCCL, torch and others read variables of theirs in code that no table covers.
        """
        return name.startswith("VLLM_") and name not in self.environment

    @cached_property
    def parsers(self) -> Parsers:
        """Names of parsers."""
        found = self.table["parsers"]
        return Parsers(frozenset(found["reasoning"]), frozenset(found["tool"]))

    @property
    def tokenizer_modes(self) -> frozenset[str]:
        """Values of `--tokenizer-mode`."""
        return frozenset(self.table["tokenizer_modes"])

    @property
    def load_formats(self) -> frozenset[str]:
        """Values of `--load-format`, the plugin's included."""
        return frozenset(self.table["load_formats"])

    @property
    def quantization_methods(self) -> frozenset[str]:
        """Values of `--quantization` that the parser takes, on whatever device."""
        found = self.table["quantization"]
        return frozenset(found["vllm"]) | frozenset(found["plugin"]["values"])

    @property
    def speculative_methods(self) -> frozenset[str]:
        """Values of `method` in `--speculative-config` that vLLM takes and the plugin can run.

        From 0.13.0 on vLLM turns every `…_mtp` into `mtp` before the plugin sees it.
        """
        found = self.table["speculative"]
        plugin = set(found["plugin"])
        taken = {m for m in found["vllm"] if m.endswith("_mtp")} if "mtp" in plugin else set()
        return frozenset((taken | plugin) & set(found["vllm"]))
