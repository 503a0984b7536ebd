"""What ModelSlim calls a kind of model, and which transformers it wants for it.

From `msmodelslim/config/config.ini` (26.1.0): `ModelAdapter` names the model types, of which all in
a row share an adapter, `ModelAdapterDependencies` the versions. It only warns where another one is
installed; rows name a toolchain of their own where the usual one cannot load the model.
"""

from __future__ import annotations

from dataclasses import dataclass

USUAL = "modelslim"


@dataclass(frozen=True)
class ModelKind:
    """One row.

    Attributes:
        adapter: a value of `--model_type`; case matters, an unknown one means the default adapter.
        toolchain: that has the transformers that the adapter needs.
        by_layer: whether its adapter loads the weights layer by layer.
    """

    adapter: str
    toolchain: str = USUAL
    by_layer: bool = False


# By config.json's `model_type`.
KINDS = {
    "deepseek_v3": ModelKind("DeepSeek-V3", "modelslim-4.48", by_layer=True),
    "deepseek_v32": ModelKind("DeepSeek-V3.2", "modelslim-4.48", by_layer=True),
    "deepseek_v4": ModelKind("DeepSeek-V4-Flash", "modelslim-4.48", by_layer=True),
    "glm4_moe": ModelKind("GLM-4.6"),
    "glm4v_moe": ModelKind("GLM-4.6V", "modelslim-5.2"),
    "glm_moe_dsa": ModelKind("GLM-5", "modelslim-5.4", by_layer=True),
    "kimi_k2": ModelKind("Kimi-K2-Instruct-0905", "modelslim-4.48", by_layer=True),
    "longcat_flash": ModelKind("LongCat-Flash-Chat"),
    "minimax_m2": ModelKind("MiniMax-M2.7"),
    "qwen2": ModelKind("Qwen2.5-7B-Instruct"),
    "qwen2_5_vl": ModelKind("Qwen2.5-VL-7B-Instruct"),
    "qwen3": ModelKind("Qwen3-14B"),
    "qwen3_5_moe": ModelKind("Qwen3.5-397B-A17B", "modelslim-5.2"),
    "qwen3_moe": ModelKind("Qwen3-30B"),
    "qwen3_next": ModelKind("Qwen3-Next-80B-A3B-Instruct"),
    "qwen3_omni_moe": ModelKind("Qwen3-Omni-30B-A3B-Instruct"),
    "qwen3_vl": ModelKind("Qwen3-VL-32B-Instruct"),
    "qwen3_vl_moe": ModelKind("Qwen3-VL-30B-A3B"),
    "step3p5": ModelKind("Step-3.5-Flash"),
}
DEFAULT = ModelKind("default")


def kind_of_model(model_type: object) -> ModelKind:
    """The row of config.json's `model_type`; the default adapter for one that ModelSlim lacks."""
    return KINDS.get(str(model_type), DEFAULT)
