"""Names that vLLM knows: parsers, tokenizer modes, load formats, methods of speculation."""

from __future__ import annotations

import ast
from typing import Any

from serving.releases.generate.source import Sources, called, calls, text_of

_PARSERS = {
    "reasoning": ("_REASONING_PARSERS_TO_REGISTER", "ReasoningParserManager", ("vllm/reasoning",)),
    "tool": (
        "_TOOL_PARSERS_TO_REGISTER",
        "ToolParserManager",
        ("vllm/tool_parsers", "vllm/entrypoints/openai/tool_parsers"),
    ),
}


def parsers(sources: Sources, kind: str) -> list[str]:
    """The names of reasoning or tool parsers."""
    table, manager, folders = _PARSERS[kind]
    found: set[str] = set()
    for folder in folders:
        for path in sorted((sources.root / folder).glob("*.py")):
            module = sources.module_at(path)
            node = module.bindings.get(table)
            if isinstance(node, ast.Dict):
                found |= {name for key in node.keys if (name := text_of(key))}
            for call in calls(module.tree):
                if called(call) == "register_module" and manager in ast.unparse(call.func):
                    found |= _first_names(call)
    return sorted(found)


def _first_names(call: ast.Call) -> set[str]:
    values = [*call.args[:1], *(k.value for k in call.keywords if k.arg == "name")]
    found: set[str] = set()
    for value in values:
        items = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        found |= {name for item in items if (name := text_of(item))}
    return found


def tokenizer_modes(sources: Sources) -> list[str]:
    """`--tokenizer-mode`: the names of the option, and of registered tokenizers."""
    found = set(_literal(sources, "vllm/config/model.py", "TokenizerMode"))
    registry = sources.module("vllm.tokenizers.registry")
    node = registry.bindings.get("_VLLM_TOKENIZERS") if registry else None
    if isinstance(node, ast.Dict):
        found |= {name for key in node.keys if (name := text_of(key))}
    return sorted(found)


def load_formats(sources: Sources) -> set[str]:
    """`--load-format`."""
    module = sources.module_at("vllm/model_executor/model_loader/__init__.py")
    node = module.bindings["_LOAD_FORMAT_TO_MODEL_LOADER"]
    assert isinstance(node, ast.Dict)
    return {name for key in node.keys if (name := text_of(key))}


def speculative_methods(sources: Sources) -> list[str]:
    """`method` of `--speculative-config`."""
    return sorted(_literal(sources, "vllm/config/speculative.py", "SpeculativeMethod"))


def quantization_methods(sources: Sources) -> list[str]:
    """`--quantization`, without what plugins add."""
    path = "vllm/model_executor/layers/quantization/__init__.py"
    return sorted(_literal(sources, path, "QuantizationMethods"))


def _literal(sources: Sources, path: str, name: str) -> list[str]:
    from serving.releases.generate.annotations import LITERAL, hints_of

    module = sources.module_at(path)
    hints: set[Any] = hints_of(sources, module, module.bindings[name])
    return [str(item) for hint in hints if hint[0] == LITERAL for item in hint[1]]
