"""Quantization: which schemes a release has code for, a device and a kind of layer."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from serving.releases.generate.source import Module, Sources, called, calls, text_of

# Layer kind and scheme of a registration, and the class that has it.
Found = dict[tuple[str, str], tuple[str, str]]
_MAP = "ASCEND_QUANTIZATION_METHOD_MAP"
_OLD_MAP = "vllm_ascend/quantization/utils.py"
# Registered, but its code reads ModelSlim's layout of packed weights alone.
_NOT_COMPRESSED = {("linear", "W4A8_DYNAMIC")}
_C8 = re.compile(r'"kv_cache_type"[^\n]*\n?[^\n]*== "C8"')
_LAYER_KINDS = ("linear", "moe", "attention")


def schemes(sources: Sources) -> dict[str, Any]:
    """`{"A2": {"linear": {"W8A8": "file"}}, …}` and the same for compressed-tensors."""
    main, small = _registered(sources)
    devices: dict[str, Found] = {
        "A2": _without_floats(main),
        "A3": _without_floats(main),
        "310P": small,
        "950": main if _knows_950(sources) else {},
    }
    compressed = _compressed(sources, main)
    return {
        "modelslim": {device: _by_kind(found) for device, found in devices.items()},
        "compressed-tensors": {
            device: _by_kind({key: found[key] for key in found if key in compressed})
            if device != "310P"
            else {}
            for device, found in devices.items()
        },
    }


def packed_model_types(sources: Sources) -> dict[str, Any]:
    """Model type: fused module → the modules of a checkpoint that it is made of."""
    for path in sources.files():
        if "packed_modules_model_mapping" in path.read_text(encoding="utf-8"):
            module = sources.module_at(path)
            found = sources.literal(module, module.bindings.get("packed_modules_model_mapping"))
            if isinstance(found, dict):
                return {"source": sources.relative(path), "types": found}
    raise LookupError("packed_modules_model_mapping was not found")


def _registered(sources: Sources) -> tuple[Found, Found]:
    main: Found = {}
    small: Found = {}
    for path in sources.files():
        module = sources.module_at(path)
        for node in module.tree.body:
            if not isinstance(node, ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and called(decorator) == "register_scheme":
                    scheme, kind = (text_of(argument) or "" for argument in decorator.args)
                    target = small if "_310p" in path.parts else main
                    target[kind, scheme] = (node.name, sources.relative(path))
    if main:
        # C8 has no registration of its own: `kv_cache_type` in the description asks for it.
        for path in sources.files():
            text = path.read_text(encoding="utf-8")
            if _C8.search(text) and "_310p" not in path.parts:
                main["attention", "C8"] = ("", sources.relative(path))
        return main, small
    return _mapped(sources)


def _mapped(sources: Sources) -> tuple[Found, Found]:
    """Releases before 0.18 keep one map; on 310P works what has a branch for it."""
    module = sources.module_at(_OLD_MAP)
    table = module.bindings[_MAP]
    assert isinstance(table, ast.Dict)
    main: Found = {}
    small: Found = {}
    for key, value in zip(table.keys, table.values, strict=True):
        assert isinstance(value, ast.Dict)
        for kind, entry in zip(value.keys, value.values, strict=True):
            assert isinstance(entry, ast.Name)
            row = (text_of(kind) or "", text_of(key) or "")
            resolved = sources.resolve(module, entry.id)
            assert resolved is not None
            main[row] = (entry.id, sources.relative(resolved[0].path))
            if "310" in ast.unparse(resolved[1]):
                small[row] = main[row]
    return main, small


def _compressed(sources: Sources, main: Found) -> set[tuple[str, str]]:
    """What the release's reader of compressed-tensors can choose."""
    chosen: set[str] = set()
    for path in sources.files():
        if not path.stem.startswith("compressed_tensors") or "_310p" in path.parts:
            continue
        for node in ast.walk(sources.module_at(path).tree):
            if isinstance(node, ast.FunctionDef) and node.name in (
                "_detect_quant_type",
                "_get_scheme_from_parts",
            ):
                chosen |= _returned(node)
    rows = {row for row, (owner, _) in main.items() if row[1] in chosen or owner in chosen}
    return {row for row in rows if row[0] in ("linear", "moe")} - _NOT_COMPRESSED


def _returned(function: ast.FunctionDef) -> set[str]:
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            if isinstance(node.value, ast.Call):
                found.add(called(node.value))
            elif (text := text_of(node.value)) is not None:
                found.add(text)
    return found


def quantization_methods(sources: Sources) -> dict[str, Any]:
    """`--quantization` values that the plugin takes, from its platform class."""
    module = sources.module_at("vllm_ascend/platform.py")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "supported_quantization":
            assert isinstance(node.value, ast.List)
            values = [sources.literal(module, item) for item in node.value.elts]
            return {"source": "vllm_ascend/platform.py", "values": sorted(map(str, values))}
    raise LookupError("supported_quantization was not found")


def speculative_methods(sources: Sources) -> list[str]:
    """What the plugin's `get_spec_decode_method` has a proposer for."""
    module = sources.module_at("vllm_ascend/spec_decode/__init__.py")
    function = module.bindings["get_spec_decode_method"]
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == "method":
            value = sources.literal(module, node.comparators[0])
            found |= {value} if isinstance(value, str) else set(value)
    return sorted(found)


def load_formats(sources: Sources) -> set[str]:
    """Load formats that the plugin adds."""
    found: set[str] = set()
    for path in _with(sources, "register_model_loader("):
        for call in calls(path.tree):
            if called(call) == "register_model_loader" and call.args:
                name = text_of(call.args[0])
                found |= {name} if name else set()
    return found


def _with(sources: Sources, text: str) -> list[Module]:
    paths: list[Path] = [p for p in sources.files() if text in p.read_text(encoding="utf-8")]
    return [sources.module_at(path) for path in paths]


def _knows_950(sources: Sources) -> bool:
    return bool(_with(sources, "AscendDeviceType.A5")) or bool(_with(sources, "A5 = "))


def _without_floats(found: Found) -> Found:
    """Number formats that only the 950 computes with: MX formats and FP8."""
    return {
        row: where for row, where in found.items() if "MX" not in row[1] and "FP8" not in row[1]
    }


def _by_kind(found: Found) -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = defaultdict(dict)
    for (kind, scheme), (_, file) in sorted(found.items()):
        if kind in _LAYER_KINDS:
            table[kind][scheme] = file
    return dict(table)
