"""ModelSlim's practice files: reading them, and what they say of each layer.

A practice has `apiversion` (`modelslim_v0`, `modelslim_v1`, `multimodal_vlm_modelslim_v1`),
`metadata` and `spec` (msmodelslim 26.1.0, `core/quant_service/*/quant_config.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quantizers.modelslim.patterns import NamePatterns
from quantizers.recipe import LAYOUT, Recipe, compose_recipe, parse_yaml
from registry.errors import UsageError

V0 = "modelslim_v0"
API_VERSIONS = (V0, "modelslim_v1", "multimodal_vlm_modelslim_v1")
DEFAULT_SET = "mix_calib.jsonl"  # of v1, in ModelSlim's lab_calib
_DEFAULT_V0_SET = "teacher_qualification.jsonl"
# Whatever the set: how many samples and tokens the sets in lab_calib have, about.
_USUAL = (128, 2048)
_QUANTIZING = ("linear_quant", "autoround_quant", "float_sparse", "dynamic_cache", "fa3_quant")
_FOREIGN = ("stages", "model_free")  # keys of LLM-Compressor's recipes
_LEVEL = re.compile(r"L(\d+)\Z")


@dataclass(frozen=True)
class Rule:
    """Layers that one step of a practice quantizes.

    Attributes:
        include, exclude: patterns of module names.
        scheme: that they get; empty where it cannot be told.
    """

    include: NamePatterns
    exclude: NamePatterns
    scheme: str


def parse_practice(content: str, name: str, label: str) -> Recipe:
    """Read a recipe of ours for ModelSlim, or a practice file; raises UsageError."""
    value = parse_yaml(content, label)
    practice = value.get("practice", value)
    if not isinstance(practice, dict) or "apiversion" not in practice:
        if any(key in _FOREIGN or str(key).endswith("_stage") for key in value):
            raise UsageError(
                f"{label} looks like a recipe of LLM-Compressor's, and is no practice",
                remedy="--tool llmcompressor takes it.",
            )
        raise UsageError(f"{label} is not a practice: it has no apiversion and spec", remedy=LAYOUT)
    version, spec = practice["apiversion"], practice.get("spec")
    if version not in API_VERSIONS:
        raise UsageError(
            f"{label} has the apiversion {version!r}",
            remedy=f"qreg runs practices for language models: {', '.join(API_VERSIONS)}.",
        )
    if not isinstance(spec, dict):
        raise UsageError(f"{label} is not a practice: it has no spec", remedy=LAYOUT)
    header = value if "practice" in value else _header(practice, name)
    recipe = compose_recipe(header, practice, tool="modelslim", name=name, text=content)
    if version != V0:
        if not any(step.get("type") in _QUANTIZING for step in steps_of(practice)):
            raise UsageError(f"{label} quantizes nothing: no step of its process does")
        if not spec.get("save"):
            raise UsageError(
                f"{label} saves nothing", remedy="Add save: [{type: ascendv1_saver}] to its spec."
            )
    return recipe


def _header(practice: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What the fields of a recipe of ours would be for a practice file."""
    metadata, spec = practice.get("metadata"), practice["spec"]
    config_id = metadata.get("config_id") if isinstance(metadata, Mapping) else None
    title = f"ModelSlim's practice {config_id}" if config_id else ""
    header: dict[str, Any] = {"name": re.sub(r"[^A-Za-z0-9_.-]", "-", name), "title": title}
    if practice["apiversion"] == V0:
        default = spec.get("calib_dataset", _DEFAULT_V0_SET)
    elif is_data_free(practice):
        return header
    else:
        default = spec.get("dataset", DEFAULT_SET)
    samples, tokens = _USUAL
    header["calibration"] = {"samples": samples, "max_tokens": tokens, "default": str(default)}
    return header


def is_data_free(practice: Mapping[str, Any]) -> bool:
    """Whether no step looks at activations: weights alone, or scales per token."""
    if practice["apiversion"] == V0 or practice["spec"].get("prior"):
        return False
    for step in steps_of(practice):
        config = step.get("qconfig")
        kind, found = step.get("type"), config if isinstance(config, Mapping) else {}
        act, weight = found.get("act"), found.get("weight")
        static = isinstance(act, Mapping) and act.get("scope") in ("per_tensor", "pd_mix")
        learnt = isinstance(weight, Mapping) and weight.get("method") == "gptq"
        if kind != "linear_quant" or static or learnt:
            return False
    return True


def steps_of(practice: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps of a v1 practice in order, those of groups one by one."""
    spec = practice.get("spec")
    process = spec.get("process") if isinstance(spec, Mapping) else None
    for step in process if isinstance(process, list) else ():
        inner = step.get("configs") if isinstance(step, Mapping) else None
        if isinstance(inner, list):
            yield from (one for one in inner if isinstance(one, Mapping))
        elif isinstance(step, Mapping):
            yield step


def rules_of(practice: Mapping[str, Any]) -> list[Rule]:
    """Which layers a practice quantizes and how, in the order in which its steps take them."""
    if practice["apiversion"] == V0:
        return _rules_v0(practice["spec"])
    found = []
    for step in steps_of(practice):
        if step.get("type") == "linear_quant":
            found.append(_rule(step))
        elif step.get("type") == "float_sparse":
            found.append(_rule(step, "W16A16S"))
        elif step.get("type") == "autoround_quant":
            found += [_rule(one) for one in step.get("strategies") or () if isinstance(one, dict)]
    if any(step.get("type") in _RENAMING for step in steps_of(practice)):
        found = [Rule(rule.include, rule.exclude, "") for rule in found]
    return found


# Steps after which ModelSlim gives types other names.
_RENAMING = ("flatquant", "svd_res")


def _rule(step: Mapping[str, Any], scheme: str = "") -> Rule:
    config = step.get("qconfig")
    include, exclude = step.get("include"), step.get("exclude")
    return Rule(
        NamePatterns(_texts(include) if include is not None else ["*"]),
        NamePatterns(_texts(exclude)),
        scheme or (scheme_of(config) if isinstance(config, Mapping) else ""),
    )


def scheme_of(qconfig: Mapping[str, Any]) -> str:
    """The type that ModelSlim gives to a layer of a `qconfig`; empty where this is not known."""
    weight, act = _pair(qconfig.get("weight")), _pair(qconfig.get("act"))
    return _SCHEMES.get((weight, act), "")


def _pair(config: Any) -> tuple[str, str]:
    """Scope and dtype; what a scope is for weights does not change the type."""
    if not isinstance(config, Mapping):
        return ("", "")
    return (str(config.get("scope", "")), str(config.get("dtype", "")))


_NONE = ("", "")
_CHANNEL8, _CHANNEL4 = ("per_channel", "int8"), ("per_channel", "int4")
_GROUP8, _GROUP4 = ("per_group", "int8"), ("per_group", "int4")
_TOKEN8, _TOKEN4 = ("per_token", "int8"), ("per_token", "int4")
_MX8, _MX4 = ("per_block", "mxfp8"), ("per_block", "mxfp4")
_DUAL = ("dual_scale", "mxfp4")
# By weight and activation, as msmodelslim 26.1.0 wrote them in outputs that were looked at.
_SCHEMES = {
    (_CHANNEL8, ("per_tensor", "int8")): "W8A8",
    (_CHANNEL8, _TOKEN8): "W8A8_DYNAMIC",
    (_GROUP8, _TOKEN8): "W8A8_DYNAMIC",
    (_CHANNEL8, ("pd_mix", "int8")): "W8A8_MIX",
    (_CHANNEL8, _NONE): "W8A16",
    (_GROUP8, _NONE): "W8A16",
    (_CHANNEL4, _TOKEN8): "W4A8_DYNAMIC",
    (_CHANNEL4, _TOKEN4): "W4A4_DYNAMIC",
    (_GROUP4, _TOKEN4): "W4A4_DYNAMIC",
    (("per_channel", "fp8_e4m3"), ("per_token", "fp8_e4m3")): "WFP8AFP8_DYNAMIC",
    (_MX8, _MX8): "W8A8_MXFP8",
    (_MX4, _MX8): "W4A8_MXFP",
    (_MX4, _MX4): "W4A4_MXFP4",
    (_DUAL, _DUAL): "W4A4_MXFP4_DUALSCALE",
}


def _rules_v0(spec: Mapping[str, Any]) -> list[Rule]:
    config, params = _table(spec.get("calib_cfg")), _table(spec.get("calib_params"))
    disabled = NamePatterns(_texts(config.get("disable_names")))
    mixed = _table(params.get("mix_cfg"))
    if mixed:
        return [
            Rule(NamePatterns([str(pattern)]), disabled, _MIXED.get(str(kind), ""))
            for pattern, kind in mixed.items()
        ]
    return [Rule(NamePatterns(["*"]), disabled, "")]


_MIXED = {"w8a8": "W8A8", "w8a8_dynamic": "W8A8_DYNAMIC", "w8a16": "W8A16"}


def disabled_names(practice: Mapping[str, Any]) -> list[str]:
    """The layers that a v0 practice skips by name; it stops where the model has none of a name."""
    if practice["apiversion"] != V0:
        return []
    return _texts(_table(practice["spec"].get("calib_cfg")).get("disable_names"))


def has_patterns(practice: Mapping[str, Any]) -> bool:
    """Whether a v0 practice of ours skips layers by pattern, which ModelSlim's v0 does not know."""
    return any("*" in name for name in disabled_names(practice))


def with_names(practice: Mapping[str, Any], modules: Collection[str]) -> dict[str, Any]:
    """A v0 practice of ours with the names of a model's layers in place of patterns.

    ModelSlim stops at a name that the model does not have, such as a head that is tied.
    """
    names = disabled_names(practice)
    patterns = NamePatterns([name for name in names if "*" in name])
    matched = [module for module in modules if patterns.match(module)]
    found = [name for name in names if "*" not in name and name in modules]
    spec = practice["spec"]
    config = {**spec["calib_cfg"], "disable_names": [*found, *matched]}
    return {**practice, "spec": {**spec, "calib_cfg": config}}


def spare_layers(practice: Mapping[str, Any]) -> int:
    """How many layers v0 leaves float by its own choice: `disable_level: L10` says ten."""
    if practice["apiversion"] != V0:
        return 0
    level = _table(practice["spec"].get("calib_params")).get("disable_level")
    found = _LEVEL.match(str(level))
    return int(found[1]) if found else 0


def cache_scheme(practice: Mapping[str, Any]) -> dict[str, str]:
    """Schemes of what a practice quantizes beside weights."""
    kinds = {step.get("type") for step in steps_of(practice)}
    found = {"kv_cache": "C8"} if "dynamic_cache" in kinds else {}
    return found | ({"flash_attention": "FAKQuant"} if "fa3_quant" in kinds else {})


def with_datasets(practice: Mapping[str, Any], calibration: str, anti: str = "") -> dict[str, Any]:
    """A practice with other calibration sets; an empty text leaves what the practice has."""
    spec = dict(practice["spec"])
    if practice["apiversion"] == V0:
        spec |= {"calib_dataset": calibration} if calibration else {}
        spec |= {"anti_dataset": anti} if anti else {}
    elif calibration:
        spec["dataset"] = calibration
    return {**practice, "spec": spec}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value] if isinstance(value, list) else []
