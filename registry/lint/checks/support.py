"""Checks against the target: which schemes, methods, groups and layouts it has kernels for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from registry.checkpoint.components import TP_SLICES
from registry.checkpoint.quantization.layers import FLOAT, UNKNOWN
from registry.finding import ERROR, INFO, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject
from registry.lint.target import (
    PACKED_MOE_TYPES,
    RELEASE,
    Chip,
    has_kernel,
)

# Kinds of the histogram that are no linear layers for the engine.
_PER_CHANNEL = (  # get_perchannel_param, [rows, 1]
    "W8A8_DYNAMIC", "W8A16", "W8A8_MIX", "W4A4_DYNAMIC", "W4A4_FLATQUANT_DYNAMIC",
)  # fmt: skip
_ROTATIONS = (".heads_rotation", ".kronecker_rotation_m", ".kronecker_rotation_n")
# What is quantized beside weights, and what to do where there is no kernel for that.
_COMPUTED: Mapping[str, str] = {
    "kv_cache": "Serve with --kv-cache-dtype auto where the engine can do without, or quantize "
    "again without the cache (kv_cache_scheme, dynamic_cache).",
    "flash_attention": "Quantize again without attention's computation (fa3_quant).",
    "indexer": "Quantize again without the indexer's computation.",
}


@check(
    "method-unsupported",
    WARNING,
    prevents="'Unknown quantization method' or garbage: vLLM Ascend has no kernels for it.",
    seen=f"{ASCEND}6484, {ASCEND}6800, {ASCEND}1997",
    fix="Quantize the float model with ModelSlim or LLM-Compressor (INT8) for NPUs.",
)
def method_unsupported(subject: Subject) -> Iterator[Found]:
    method, target = subject.quantization.method, subject.target
    able = [chip.name for chip in target.candidates if _serves(subject, chip)]
    if not able:
        where = target.chip.name if target.chip else "any NPU"
        severity = ERROR if target.chip else WARNING
        yield Found(f"vLLM Ascend {RELEASE} cannot serve {method} on {where}", method, severity)
    elif target.chip is None and len(able) == 1:
        yield Found(
            f"vLLM Ascend {RELEASE} serves {method} on {able[0]} only", method, INFO, fix=""
        )


@check(
    "scheme-unsupported",
    ERROR,
    prevents="'vLLM Ascend doesn't support quant_type=…': the engine stops while it builds layers.",
    seen=f"{ASCEND}7076, {ASCEND}6481, {ASCEND}2588",
    fix="Quantize these layers in W8A8_DYNAMIC (or W8A8, but not experts), which every NPU has, or "
    "leave them float.",
)
def scheme_unsupported(subject: Subject) -> Iterator[Found]:
    target, method = subject.target, subject.quantization.method
    if method == "fp8" or not any(method in chip.methods for chip in target.candidates):
        return  # said by method-unsupported
    where = target.chip.name if target.chip else "any NPU"
    # Other engines may run compressed-tensors; ModelSlim's types only Ascend's.
    sure = target.chip is not None or method == "modelslim"
    online = _online(subject)
    if online:
        yield Found(
            f"vLLM Ascend {RELEASE} applies no rotation while computing: {some(online)}",
            online[0],
            ERROR if sure else WARNING,
        )
    verdicts: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for kind, schemes in subject.quantization.schemes.items():
        for scheme, count in schemes.items():
            if scheme not in (FLOAT, UNKNOWN):  # unknown ones are told by other checks
                able = tuple(
                    c.name for c in target.candidates if has_kernel(scheme, kind, method, c)
                )
                advice = _COMPUTED.get(kind, "")
                verdicts.setdefault((scheme, able, advice), []).append(f"{kind} ({count})")
    for (scheme, able, advice), kinds in verdicts.items():
        layers = ", ".join(kinds)
        if not able:
            message = f"vLLM Ascend {RELEASE} has no {scheme} on {where} for these layers: {layers}"
            # A cache of compressed-tensors is left as it is: that works, and takes more memory.
            cache = method == "compressed-tensors" and kinds[0].startswith("kv_cache")
            head = all(kind.startswith("lm_head") for kind in kinds)
            fix = "Leave lm_head float." if head else advice or None
            yield Found(message, scheme, ERROR if sure and not cache else WARNING, fix)
        elif target.chip is None and len(able) == 1:
            yield Found(f"{scheme} runs on {able[0]} only: {layers}", scheme, INFO, fix="")


def _serves(subject: Subject, chip: Chip) -> bool:
    # fp8.py reads o_groups, which only DeepSeek V4's config.json has.
    v4 = subject.architecture.model_type == "deepseek_v4"
    method = subject.quantization.method
    return method in chip.methods and (method != "fp8" or v4)


def _online(subject: Subject) -> list[str]:
    """Rotations that are not merged into the weights."""
    found = [name for name in subject.checkpoint.tensors if name.endswith(_ROTATIONS)]
    transforms = subject.config_of_quantization.get("transform_config")
    groups = transforms.get("config_groups") if isinstance(transforms, Mapping) else None
    for name, group in groups.items() if isinstance(groups, Mapping) else ():
        applied = group.get("apply") if isinstance(group, Mapping) else None
        for step in applied if isinstance(applied, list) else ():
            location = step.get("location") if isinstance(step, Mapping) else None
            if isinstance(location, str) and not location.startswith("weight"):
                found.append(f"{name} ({location})")
    return found


@check(
    "group-size",
    ERROR,
    prevents="W4A8 with groups of 256 fails in the NZ layout, or multiplies with wrong scales.",
    seen=f"{ASCEND}5603, {ASCEND}8770, {ASCEND}10834",
    fix="Quantize W4A8 with group_size 64 or 128; MX types have 32.",
)
def group_size(subject: Subject) -> Iterator[Found]:
    size = subject.quantization.group_size
    schemes = {layer.scheme for layer in subject.quantization.layers}
    if size and "W4A8_DYNAMIC" in schemes and size not in (64, 128):
        yield Found(f"W4A8_DYNAMIC has groups of {size}", f"group_size: {size}")
    if size and size != 32 and any("_MX" in scheme for scheme in schemes):
        yield Found(f"MX types have groups of 32, not of {size}", f"group_size: {size}")
    tensors = subject.checkpoint.tensors
    columns = [
        x.module
        for x in subject.quantization.layers
        if x.scheme in _PER_CHANNEL
        and (size or not x.scheme.startswith("W8A8"))  # most layers; never seen with groups
        and (scale := tensors.get(f"{x.module}.weight_scale"))
        and len(scale.shape) == 2
        and scale.shape[1] > 1
    ]
    if columns and subject.is_modelslim:
        scheme = subject.layers[columns[0]].scheme
        text = f"{scheme} has scales a group, the kernel takes one a channel"
        yield Found(text, columns[0], fix="Quantize these layers with one scale a channel.")
    layers = subject.quantization.layers
    linear = [
        x.module for x in layers if x.scheme == "W4A8_DYNAMIC" and ".experts." not in x.module
    ]
    if linear and not size and subject.is_modelslim:
        text = "W4A8_DYNAMIC without groups is for experts only, its linear kernel needs them"
        yield Found(f"{text}: {some(linear, 'layers')}", linear[0])
    scalars = [
        x.module
        for x in layers
        if x.scheme == "W8A8"
        and (scale := tensors.get(f"{x.module}.deq_scale"))
        and scale.elements != x.tensor.shape[0]
    ]
    if scalars:
        text = "W8A8 has one scale a matrix, the kernel takes one a channel"
        yield Found(text, scalars[0], fix="Quantize weights per channel.")
    if subject.quantization.method == "compressed-tensors" and size not in (None, 32):
        packed = [x.module for x in layers if x.scheme == "W4A16" and ".experts." in x.module]
        if packed:
            text = f"W4A16 experts have groups of {size}, vLLM Ascend takes 32"
            severity = ERROR if subject.target.chip else WARNING
            yield Found(text, packed[0], severity, fix="Quantize them with group_size 32.")
    described = subject.checkpoint.description or {}
    ungrouped = "W4A8_DYNAMIC" in schemes and "group_size" not in described
    if ungrouped and any(name.endswith(".weight_scale_second") for name in tensors):
        yield Found("The description gives no group_size; vLLM Ascend then takes 256", "group_size")


@check(
    "tensor-parallel-layout",
    WARNING,
    prevents="An artifact laid out for one tensor parallel size is loaded with another: shapes do "
    "not fit, or ranks read each other's slices.",
    seen=f"{ASCEND}11368",
    fix="Serve with the size that it was made for, or make one for yours.",
)
def tensor_parallel_layout(subject: Subject) -> Iterator[Found]:
    quantization, wanted = subject.quantization, subject.target.tensor_parallel
    bound = quantization.tensor_parallel
    if bound and any(TP_SLICES in name for name in subject.checkpoint.tensors):
        text = f"It holds slices for {bound} ranks of MindIE, at which vLLM Ascend stops"
        yield Found(text, severity=ERROR, fix="Quantize without simulate_tp.")
    elif bound and wanted and (wanted > bound or (subject.checkpoint.ranks and wanted != bound)):
        yield Found(f"It is made for TP {bound}, the target has TP {wanted}", severity=ERROR)
    elif bound and not wanted:
        sizes = f"TP {bound} alone" if subject.checkpoint.ranks else f"TP up to {bound}"
        yield Found(f"It is made for {sizes}", severity=INFO)
    compressed = any(x.scheme.endswith("SC") for x in quantization.layers)
    if compressed and not bound:
        yield Found(
            "W8A8SC weights are compressed for one tensor parallel size, which is not named"
        )


@check(
    "moe-type-unsupported",
    WARNING,
    prevents="ModelSlim's experts cannot be mapped to the engine's fused layer: KeyError.",
    seen="vllm-ascend 0.23.0, packed_modules_model_mapping",
    fix="Use a release whose table has the model type, or the float model.",
)
def moe_type_unsupported(subject: Subject) -> Iterator[Found]:
    model_type = subject.architecture.model_type or ""
    quantized = any(
        layer.component == "experts" and layer.scheme != FLOAT
        for layer in subject.quantization.layers
    )
    known = model_type in PACKED_MOE_TYPES or model_type.removesuffix("_text") in PACKED_MOE_TYPES
    if subject.is_modelslim and quantized and not known:
        yield Found(f"vLLM Ascend {RELEASE} knows no experts of {model_type!r}", model_type)


CHECKS = (
    method_unsupported,
    scheme_unsupported,
    group_size,
    tensor_parallel_layout,
    moe_type_unsupported,
)
