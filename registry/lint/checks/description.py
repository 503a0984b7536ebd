"""Checks of ModelSlim's description against the tensors, in both directions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from registry.checkpoint.components import TP_SLICES, Components, component_of
from registry.checkpoint.quantization.layers import FLOAT, UNKNOWN, Layer
from registry.checkpoint.quantization.modelslim import STANDARD_NAME
from registry.checkpoint.quantization.others import FLOATS
from registry.checkpoint.quantization.packing import weight_bits
from registry.finding import ERROR, INFO, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject

# QuaRot's and FlatQuant's matrices are written without a key (msmodelslim 26.1.0, ascendv1.py).
_KEYLESS = (".heads_rotation", ".kronecker_rotation_m", ".kronecker_rotation_n")
# Keys that hold for all layers, their types with calibrated scales, and what names of the scales
# have in them (msmodelslim 26.1.0, ascendv1.py); dynamic types of attention have none, and no key.
_STATIC_ATTENTION = (
    (("kv_cache_type", "kv_quant_type"), ("C8",), "kv_cache_scale"),
    (("fa_quant_type",), ("FAKQuant", "FAQuant"), ".fa_"),
)
# What each type stores beside `weight`; vLLM Ascend 0.23.0 asks for exactly these.
_STATIC = ("input_scale", "input_offset", "deq_scale", "quant_bias")
_SCALED = ("weight_scale", "weight_offset")
_MODELSLIM_PARTS: Mapping[str, tuple[str, ...]] = {
    "W8A8": _STATIC,
    "W8A8S": _STATIC,
    "W8A8_MIX": _STATIC + _SCALED,
    "W8A8_DYNAMIC": _SCALED,
    "W8A16": _SCALED,
    "W4A16": _SCALED,
    "W4A8_DYNAMIC": _SCALED,
    "W4A4_DYNAMIC": _SCALED,
    "W4A4_FLATQUANT_DYNAMIC": ("weight_scale", "left_trans", "right_trans", "clip_ratio"),
    "W8A8_MXFP8": ("weight_scale",),
    "W4A8_MXFP": ("weight_scale",),
    "W4A4_MXFP4": ("weight_scale",),
    "WFP8AFP8_DYNAMIC": ("weight_scale",),
}


@check(
    "described-missing",
    ERROR,
    prevents="A layer is built for quantized weights that never arrive: garbage, or a KeyError.",
    seen=f"{ASCEND}8367, {ASCEND}4313",
    fix="Copy the shards that hold these tensors, or quantize again.",
)
def described_missing(subject: Subject) -> Iterator[Found]:
    # With shards missing, this would repeat that; the shards of a rank have the engine's names.
    if subject.checkpoint.faults or subject.checkpoint.ranks:
        return
    if subject.described.keys() <= subject.checkpoint.tensors.keys():
        return
    missing = sorted(subject.described.keys() - subject.checkpoint.tensors.keys())
    if missing:
        yield Found(f"The description names {some(missing, 'tensors')}, in no shard", missing[0])


@check(
    "undescribed",
    ERROR,
    prevents="vLLM Ascend stops with KeyError: '….weight' while it builds the model.",
    seen=f"{ASCEND}876, {ASCEND}619, {ASCEND}3534, {ASCEND}4313, {ASCEND}8367",
    fix='Add the tensors to the description ("FLOAT" for those that are not quantized).',
)
def undescribed(subject: Subject) -> Iterator[Found]:
    # One that cannot be read lacks everything, which is told as such.
    if not subject.is_modelslim or subject.checkpoint.ranks or subject.lacks_description:
        return
    components = Components(subject.architecture.layers)
    names = [
        name
        for name in subject.checkpoint.tensors.keys() - subject.described.keys()
        if not name.endswith(_KEYLESS)
        and name.removesuffix("_packed") not in subject.described
        and components.of(name) != "mtp"  # asked for with MTP only: mtp-undescribed
    ]
    weights = sorted(name for name in names if _is_looked_up(name, subject))
    if weights:
        yield Found(f"The description lacks {some(weights, 'weights')}", weights[0])
    others = sorted(set(names) - set(weights))
    if others:
        yield Found(f"The description lacks {some(others, 'tensors')}", others[0], WARNING)


def _is_looked_up(name: str, subject: Subject) -> bool:
    """Whether the engine asks the description for it: weights of layers and embeddings."""
    tensor = subject.checkpoint.tensors[name]
    return (
        name.endswith((".weight", ".weight_packed"))
        and len(tensor.shape) >= 2
        # Embedding and head without an entry are float to vLLM Ascend 0.23.0.
        and component_of(name) not in ("embedding", "lm_head")
    )


@check(
    "type-contradicts",
    ERROR,
    prevents="Floats are read as integers or the other way round: garbage output, or four times "
    "the memory.",
    seen=f"{ASCEND}9894, {ASCEND}1127",
    fix="Quantize again; description and weights are not of one run.",
)
def type_contradicts(subject: Subject) -> Iterator[Found]:
    if not subject.is_modelslim:
        return
    floats = [x.tensor.name for x in subject.quantization.layers if _claims_bits(x)]
    integers = [
        x.tensor.name
        for x in subject.quantization.layers
        if x.scheme == FLOAT and x.tensor.dtype not in FLOATS
    ]
    untyped = [name for name, kind in subject.described.items() if kind == UNKNOWN]
    if untyped:
        yield Found(f"The description gives no type for {some(untyped, 'tensors')}", untyped[0])
    if floats:
        kind = subject.described.get(floats[0], "")
        dtype = subject.checkpoint.tensors[floats[0]].dtype
        yield Found(f"{some(floats, 'weights')} are {dtype}, described as {kind}", floats[0])
    if integers:
        dtype = subject.checkpoint.tensors[integers[0]].dtype
        yield Found(f"{some(integers, 'weights')} are {dtype}, described as FLOAT", integers[0])


def _claims_bits(layer: Layer) -> bool:
    return weight_bits(layer.scheme) in (4, 8) and layer.tensor.dtype in FLOATS


@check(
    "layer-incomplete",
    ERROR,
    prevents="Scales keep the values that memory happened to hold: garbage output.",
    seen="shards of two runs in one folder",
    fix="Quantize again; the layer's scales are not stored.",
)
def layer_incomplete(subject: Subject) -> Iterator[Found]:
    if subject.lacks_tensors:
        return
    tensors = subject.checkpoint.tensors
    # Parts that are stored a slice a rank are not stored whole.
    sliced = {name.partition(TP_SLICES)[0] for name in tensors if TP_SLICES in name}
    by_scheme: dict[str, list[str]] = defaultdict(list)
    for layer in subject.quantization.layers:
        if layer.scheme not in (FLOAT, UNKNOWN) and len(layer.tensor.shape) == 2:
            by_scheme[layer.scheme].append(layer.module)
    lacking = [
        module + suffix
        for scheme, modules in by_scheme.items()
        for suffix in [f".{part}" for part in _parts_of(scheme, subject)]
        for module in modules
        if module + suffix not in tensors
        and module not in sliced
        and not _is_left_out(module + suffix)
    ]
    described = subject.checkpoint.description or {}
    if described.get("version") == "1.0.0":  # w4a8.py: experts add it, linear layers do not
        experts = [m for m in by_scheme.get("W4A8_DYNAMIC", ()) if ".experts." in m]
        lacking += [f"{m}.scale_bias" for m in experts if f"{m}.scale_bias" not in tensors]
    if lacking:
        module = lacking[0].rpartition(".")[0]
        scheme = subject.layers[module].scheme
        yield Found(f"{some(lacking, 'such tensors')} is missing for {scheme}", lacking[0])


def _parts_of(scheme: str, subject: Subject) -> tuple[str, ...]:
    if subject.is_modelslim:
        return _MODELSLIM_PARTS.get(scheme, ())
    if subject.quantization.method == "compressed-tensors":
        if subject.quantization.format == "marlin-24":
            return ("scale_packed", "meta")
        return ("weight_scale", "input_scale") if scheme == "W8A8" else ("weight_scale",)
    return ("scales", "qzeros") if subject.quantization.method in ("awq", "gptq") else ()


def _is_left_out(name: str) -> bool:
    """FlatQuant multiplies the last projection of attention from the left only."""
    return name.endswith(".o_proj.right_trans")


@check(
    "attention-scales-missing",
    ERROR,
    prevents="Keys and values are kept in 8 bits with scales that memory happened to hold, or are "
    "not quantized at all: garbage, or no room for the cache that was planned.",
    seen="descriptions copied from another run",
    fix="Quantize again with the cache or attention, or remove the key from the description.",
)
def attention_scales_missing(subject: Subject) -> Iterator[Found]:
    checkpoint = subject.checkpoint
    if not subject.is_modelslim or subject.lacks_tensors or checkpoint.ranks:
        return
    described = checkpoint.description or {}
    for keys, kinds, part in _STATIC_ATTENTION:
        claimed = [key for key in keys if described.get(key) in kinds]
        if claimed and not any(part in name for name in checkpoint.tensors):
            text = f"The description says {claimed[0]} {described[claimed[0]]}"
            yield Found(f"{text}, no tensor is a scale of it ({part.strip('.')})", claimed[0])


@check(
    "description-name",
    ERROR,
    prevents="vLLM Ascend looks for quant_model_description.json alone: 'config not found', or "
    "a float model of random bytes.",
    seen="msmodelslim's mindie_format saver; vllm-ascend 0.23.0, modelslim_config.py",
    fix="Save with ascendv1_saver (or save_type ascendV1); the format is MindIE's.",
)
def description_name(subject: Subject) -> Iterator[Found]:
    path = subject.checkpoint.description_path
    if path and path != STANDARD_NAME:
        yield Found(f"The description is {path}, not {STANDARD_NAME}", path)


@check(
    "model-quant-type",
    INFO,
    prevents="Tools that believe model_quant_type take a W4A8 model for a float one.",
    seen="msmodelslim 26.1.0 writes FLOAT for a pure W4A8 model",
    fix="Nothing to mend: qreg classifies by the types of the tensors.",
)
def model_quant_type(subject: Subject) -> Iterator[Found]:
    declared = subject.quantization.declared
    counts = Counter(x.scheme for x in subject.quantization.layers if x.scheme != FLOAT)
    fewest = min((weight_bits(scheme) or 16 for scheme in counts), default=None)
    if declared and fewest and (declared not in counts or weight_bits(declared) != fewest):
        schemes = ", ".join(f"{scheme} × {count}" for scheme, count in counts.most_common(3))
        yield Found(f"model_quant_type says {declared}; the layers are {schemes}", declared)


@check(
    "scales-orphaned",
    WARNING,
    prevents="Left-over scales of a layer that is float now; a sign of shards of two runs.",
    seen="layers rolled back to float by hand",
    fix="Remove the scales, or quantize the layer again.",
)
def scales_orphaned(subject: Subject) -> Iterator[Found]:
    if not subject.is_modelslim:
        return
    orphans = [
        name
        for layer in subject.quantization.layers
        if layer.scheme == FLOAT
        for name in (f"{layer.module}.weight_scale", f"{layer.module}.deq_scale")
        if name in subject.checkpoint.tensors
    ]
    if orphans:
        yield Found(f"{some(orphans, 'scales')} belong to layers described as FLOAT", orphans[0])


CHECKS = (
    described_missing,
    undescribed,
    type_contradicts,
    layer_incomplete,
    attention_scales_missing,
    description_name,
    model_quant_type,
    scales_orphaned,
)
