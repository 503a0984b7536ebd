"""Element types: what config.json says, what is stored, what the kernels take."""

from __future__ import annotations

from tests.lint_cases import DENSE, Model, floating, made, model_of, modelslim, moe
from tests.registry.lint.cases.case import A3, P310, Case
from tests.registry.lint.cases.changes import configure, half, requantize, retype

_SCALE = "model.layers.0.self_attn.q_proj.deq_scale"


def _dynamic() -> Model:
    return model_of(DENSE, "W8A8_DYNAMIC")


CASES = {
    "float16": [
        Case(
            "static W8A8, whose scales are made for float16: another dtype reads them wrongly",
            made(modelslim, half),
            made(modelslim, half),
            "error",
            "config.json",
            target=A3,
            sound_target=P310,
            not_fixed_by="--dtype bfloat16",
        ),
        Case(
            "where no target is given",
            made(_dynamic, half),
            made(_dynamic, half, requantize("_proj", "W8A16")),
            "warning",
            "config.json",
        ),
    ],
    "float32-weights": [
        Case(
            "the head",
            made(modelslim, retype(r"^lm_head", "F32")),
            made(moe, retype(r"\.mlp\.gate\.weight", "F32")),  # routers are, on purpose
            "warning",
            "lm_head.weight",
        ),
        Case(
            "the embedding",
            made(modelslim, retype(r"embed_tokens", "F32")),
            made(modelslim, retype(r"norm\.weight", "F32")),
            "warning",
            "model.embed_tokens.weight",
        ),
        Case(
            "everything, as quant_qwen.py loads it on a CPU",
            made(floating, retype(".", "F32")),
            made(floating, retype(".", "F32"), configure(torch_dtype="float32")),
            "warning",
            None,
        ),
    ],
    "dtype-contradicts": [
        Case(
            "a bfloat16 head in a float16 model",
            made(modelslim, half, retype(r"^lm_head", "BF16")),
            made(moe, half, retype(r"\.mlp\.gate\.weight", "BF16")),
            "warning",
            "lm_head.weight",
            "BF16, config.json says float16",
        ),
        Case(
            "torch_dtype edited by hand",
            made(floating, configure(torch_dtype="float16")),
            made(floating),
            "warning",
            None,
            "config.json says float16",
        ),
    ],
    "deq-scale": [
        Case(
            "int64 in a bfloat16 model",
            made(modelslim, retype(_SCALE, "I64")),
            made(modelslim, half),
            where=_SCALE,
            says="I64, bfloat16 needs F32",
        ),
        Case(
            "float32 in a float16 model",
            made(modelslim, half, retype(_SCALE, "F32")),
            made(modelslim, half),
            where=_SCALE,
            says="F32, float16 needs I64",
        ),
        Case(
            # vllm_ascend/_310p/quantization/methods: deq_scale is int64 whatever the model is.
            "float32 on 310P",
            made(modelslim),
            made(
                modelslim, retype(r"\.deq_scale$", "I64")
            ),  # loaded in float16, config.json copied
            where=None,
            says="I64",
            target=P310,
        ),
    ],
}
