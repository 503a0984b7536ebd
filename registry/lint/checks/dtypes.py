"""Checks of element types: what config.json says, what is stored, what the kernels take."""

from __future__ import annotations

from collections.abc import Iterator

from registry.checkpoint.quantization.layers import FLOAT, Layer
from registry.finding import ERROR, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject

_W8A8 = ("W8A8", "W8A8_DYNAMIC", "W8A8_MIX")
_STATIC = ("W8A8", "W8A8_MIX", "W8A8S")
_HALVES = {"bfloat16": "BF16", "float16": "F16"}


@check(
    "float16",
    WARNING,
    prevents="On A2 and A3 W8A8 layers overflow in float16: garbage output or NaN.",
    seen=f"{ASCEND}12907",
    fix="Serve with --dtype bfloat16 there, or quantize the bfloat16 model; 310P needs float16.",
)
def float16(subject: Subject) -> Iterator[Found]:
    chip = subject.target.chip
    if subject.architecture.dtype != "float16" or (chip and chip.name == "310P"):
        return
    if any(layer.scheme in _W8A8 for layer in subject.quantization.layers):
        severity = ERROR if chip and chip.name in ("A2", "A3") else WARNING
        # deq_scale are floats or their bits as integers: another dtype reads them wrongly.
        static = any(name.endswith(".deq_scale") for name in subject.checkpoint.tensors)
        fix = "Quantize the bfloat16 model, or serve it on 310P." if static else None
        yield Found("config.json says float16 for a W8A8 model", "config.json", severity, fix)


@check(
    "float32-weights",
    WARNING,
    prevents="Weights of 32 bits are read and converted: twice the download and start-up memory.",
    seen="the guide's quant_qwen.py loads float32 on CPU",
    fix="Quantize the bfloat16 model with torch_dtype=bfloat16, or convert the float tensors.",
)
def float32_weights(subject: Subject) -> Iterator[Found]:
    if subject.architecture.dtype not in _HALVES:
        return
    names = [
        layer.tensor.name
        for layer in subject.quantization.layers
        if layer.tensor.dtype == "F32" and layer.scheme == FLOAT and not _is_float32(layer)
    ]
    names += [tensor.name for tensor in subject.embeddings if tensor.dtype == "F32"]
    if names:
        dtype = subject.architecture.dtype
        yield Found(f"{some(names, 'weights')} are float32, config.json says {dtype}", names[0])


def _is_float32(layer: Layer) -> bool:
    """Whether it is kept in float32 on purpose: routers, DeepSeek V4's compressors and head."""
    return layer.component == "router" or ".compressor." in layer.module or layer.module == "head"


@check(
    "dtype-contradicts",
    WARNING,
    prevents="The engine computes in another type than the model was made in.",
    seen="torch_dtype edited by hand",
    fix="Correct dtype in config.json, or serve with --dtype.",
)
def dtype_contradicts(subject: Subject) -> Iterator[Found]:
    dtype = subject.architecture.dtype
    if dtype not in _HALVES:
        return
    other = {"BF16": "F16", "F16": "BF16"}[_HALVES[dtype]]
    names = [
        layer.tensor.name
        for layer in subject.quantization.layers
        if layer.tensor.dtype == other and layer.component != "router"
    ]
    if names:
        yield Found(f"{some(names, 'weights')} are {other}, config.json says {dtype}", names[0])


@check(
    "deq-scale",
    ERROR,
    prevents="Static W8A8 layers dequantize with a scale of the wrong type: garbage output.",
    seen="msmodelslim 26.1.0 writes int64 for models that are not bfloat16; quant_qwen.py on CPU",
    fix="Quantize in the type that config.json says: int64 goes with float16, float32 with "
    "bfloat16.",
)
def deq_scale(subject: Subject) -> Iterator[Found]:
    chip, dtype = subject.target.chip, subject.architecture.dtype or ""
    if chip and chip.name == "310P":  # vllm_ascend/_310p: int64 whatever config.json says
        dtype = "310P"
    expected = {"bfloat16": "F32", "float16": "I64", "310P": "I64"}.get(dtype)
    if expected is None or not subject.is_modelslim:
        return
    tensors = subject.checkpoint.tensors
    static = [x for x in subject.quantization.layers if x.scheme in _STATIC]
    scales = [f"{layer.module}.deq_scale" for layer in static]
    names = [name for name in scales if name in tensors and tensors[name].dtype != expected]
    if names:
        found = subject.checkpoint.tensors[names[0]].dtype
        yield Found(f"{some(names, 'scales')} are {found}, {dtype} needs {expected}", names[0])


CHECKS = (float16, float32_weights, dtype_contradicts, deq_scale)
