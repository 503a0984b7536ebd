"""Quantizes small models with ModelSlim's command. Runs inside the modelslim toolchain.

python modelslim_v1.py JOB

JOB: {"output": DIR, "work": DIR, "texts": [text, …],
      "cases": {name: {"recipe": name here, "base": its model, "model": folder}}}

A recipe is what a practice file of `apiversion: modelslim_v1` (msmodelslim 26.1) says under `spec`.
Each run is a process forked after the imports, which take five times as long as the run:
ModelSlim keeps calibration data and more for the life of its process.
"""

import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml
from msmodelslim.cli.__main__ import main as msmodelslim
from msmodelslim.model.qwen3.model_adapter import Qwen3ModelAdapter
from msmodelslim.processor.quant.fa3.interface import FA3QuantAdapterInterface, FA3QuantPlaceHolder
from msmodelslim.utils.exception import ModelslimError
from torch import nn

Config = dict[str, Any]


def scheme(scope: str, dtype: str, *, method: str = "minmax", **more: Any) -> Config:
    symmetric = more.pop("symmetric", True)
    extra = {"ext": more} if more else {}
    return {
        "scope": scope,
        "dtype": dtype,
        "symmetric": symmetric,
        "method": method,
        **extra,
    }


def linear(
    weight: Config, act: Config | None = None, *, include: str = "*", exclude: str = "lm_head"
) -> Config:
    config = {"weight": weight, "act": act} if act else {"weight": weight}
    return {
        "type": "linear_quant",
        "qconfig": config,
        "include": [include],
        "exclude": [exclude],
    }


def group(*configs: Config) -> list[Config]:
    return [{"type": "group", "configs": list(configs)}]


def autoround(*strategies: tuple[Config, Config, list[str]]) -> Config:
    """The only way to W4A4_DYNAMIC: `linear_quant` has no INT4 for activations."""
    return {
        "type": "autoround_quant",
        "iters": 2,
        "enable_round_tuning": True,
        "strategies": [
            {"qconfig": {"weight": weight, "act": act}, "include": include}
            for weight, act, include in strategies
        ],
    }


INT8, INT4 = scheme("per_channel", "int8"), scheme("per_channel", "int4")
TOKEN, TOKEN4 = scheme("per_token", "int8"), scheme("per_token", "int4")
TENSOR = scheme("per_tensor", "int8", symmetric=False)
MIX = scheme("pd_mix", "int8", symmetric=False)
MXFP8, MXFP4 = scheme("per_block", "mxfp8"), scheme("per_block", "mxfp4")
FP8, TOKEN_FP8 = scheme("per_channel", "fp8_e4m3"), scheme("per_token", "fp8_e4m3")
DUAL = scheme("dual_scale", "mxfp4", method="dualscale", dual_block_size=256)
SSZ = scheme("per_channel", "int4", method="ssz")
ROUND8 = scheme("per_channel", "int8", method="autoround")
ROUND4 = scheme("per_channel", "int4", method="autoround")
ROUND4_GROUP = scheme("per_group", "int4", method="autoround", group_size=64)
# GPTQ multiplies in float32: for float32 models only.
GPTQ_ASYM = scheme("per_channel", "int8", method="gptq", symmetric=False)
GPTQ_GROUP = scheme("per_group", "int8", method="gptq", group_size=128)

SMOOTH = {"type": "flex_smooth_quant", "enable_subgraph_type": ["norm-linear"], "include": ["*"]}
C8 = {"type": "dynamic_cache", "qconfig": INT8, "include": ["*"]}
# Without `max_tp_size: 1` the small model has too few heads.
QUAROT = {"type": "quarot", "max_tp_size": 1}
ONLINE = {**QUAROT, "online": True, "down_proj_online_layers": [0, 1]}
SVD = {"type": "svd_res", "rank": 16, "include": ["*down_proj"]}
SPARSE = {"type": "float_sparse", "sparse_ratio": 0.4, "include": ["*"], "exclude": []}
FLAT, FA3 = {"type": "flatquant"}, {"type": "fa3_quant"}
MOE_W8A8 = group(
    linear(INT8, TENSOR, include="*self_attn*"),
    linear(INT8, TOKEN, include="*mlp*", exclude="*mlp.gate"),
)
MOE_W4A8 = group(
    linear(INT8, TOKEN, include="*self_attn*"), linear(SSZ, TOKEN, include="*mlp.experts*")
)
UP = ["*up_proj", "*gate_proj"]
ASCEND, MINDIE, CT = "ascendv1_saver", "mindie_format_saver", "compressed_tensors"

# Per recipe: the processors, and the savers where not ASCEND alone.
RECIPES: dict[str, tuple[list[Config], list[str]]] = {
    "w8a8": ([linear(INT8, TENSOR)], [ASCEND]),
    "w8a8-smooth": ([SMOOTH, linear(INT8, TENSOR, exclude="*down_proj")], [ASCEND]),
    "w8a8-dynamic": ([linear(INT8, TOKEN)], [ASCEND]),
    "w8a8-dynamic-group": ([linear(GPTQ_GROUP, TOKEN)], [ASCEND]),
    "w8a8-mix": ([linear(INT8, MIX)], [ASCEND]),
    "w8a8-c8": ([linear(INT8, TENSOR), C8], [ASCEND]),
    "w8a8-fa3": ([FA3, linear(INT8, TOKEN)], [ASCEND]),
    "w8a16": ([linear(INT8)], [ASCEND]),
    "w8a16-asym": ([linear(GPTQ_ASYM)], [ASCEND]),
    "w8a16-group": ([linear(GPTQ_GROUP)], [ASCEND]),
    "w4a8-dynamic": ([linear(INT4, TOKEN)], [ASCEND]),
    "w4a4-dynamic": (
        [autoround((ROUND8, TOKEN, ["*self_attn*", "*down_proj"]), (ROUND4, TOKEN4, UP))],
        [ASCEND],
    ),
    "w4a4-dynamic-group": ([autoround((ROUND4_GROUP, TOKEN4, ["*"]))], [ASCEND]),
    "fp8-dynamic": ([linear(FP8, TOKEN_FP8)], [ASCEND]),
    "mxfp8": ([linear(MXFP8, MXFP8)], [ASCEND]),
    "w4a8-mxfp": ([linear(MXFP4, MXFP8)], [ASCEND]),
    "w4a4-mxfp4": ([linear(MXFP4, MXFP4)], [ASCEND]),
    "w4a4-mxfp4-dualscale": ([linear(DUAL, DUAL)], [ASCEND]),
    "w4a4-mxfp4-svd": ([SVD, linear(MXFP4, MXFP4)], [ASCEND]),
    "flatquant-mxfp4": ([FLAT, linear(MXFP4, MXFP4)], [ASCEND]),
    "flatquant-w4a4": ([FLAT, autoround((ROUND4, TOKEN4, ["*self_attn*", *UP]))], [ASCEND]),
    "quarot": ([QUAROT, linear(INT8, TOKEN)], [ASCEND]),
    "quarot-online": ([ONLINE, linear(INT8, TOKEN)], [ASCEND]),
    "w16a16s": ([SPARSE], [ASCEND]),
    "moe-w8a8": (MOE_W8A8, [ASCEND]),
    "moe-w4a8": (MOE_W4A8, [ASCEND]),
    "mindie-w8a8": ([linear(INT8, TENSOR)], [MINDIE]),
    "mindie-w8a8-dynamic": ([linear(INT8, TOKEN)], [MINDIE]),
    "mindie-w4a4-mxfp4": ([linear(MXFP4, MXFP4)], [MINDIE]),
    "w8a8-two-savers": ([linear(INT8, TENSOR)], [ASCEND, MINDIE]),
    "ct-dynamic": ([linear(INT8, TOKEN)], [CT]),
    "ct-static": ([linear(INT8, TENSOR)], [CT]),
    "ct-static-symmetric": ([linear(INT8, scheme("per_tensor", "int8"))], [CT]),
    "ct-moe": ([linear(INT8, TOKEN, include="*mlp.experts*")], [CT]),
}
# Per recipe: what differs in `save`. 0 is one file without an index; gigabytes otherwise.
FILE_SIZE = {"w8a8-dynamic-group": 0}


def teach_fa3() -> None:
    """Let Qwen3's adapter say where attention has its states.

    Of the text models' adapters only those of the DeepSeek kind can: for NPUs, at their real size.
    The names are those of DeepSeek-V3's.
    """

    def observe(attention: nn.Module, name: str, _source: Any, _inputs: Any, out: Any) -> None:
        states = out.reshape(*out.shape[:2], -1, attention.head_dim).transpose(1, 2)
        attention.get_submodule(name)(states)

    def inject(
        _adapter: object, root: str, layer: nn.Module, chosen: Callable[[str], bool]
    ) -> None:
        attention = layer.get_submodule("self_attn")
        if not chosen(f"{root}.self_attn"):
            return
        for name, source in (("fa_q", "q_norm"), ("fa_k", "k_norm"), ("fa_v", "v_proj")):
            attention.add_module(name, FA3QuantPlaceHolder())
            hook = partial(observe, attention, name)
            attention.get_submodule(source).register_forward_hook(hook)

    FA3QuantAdapterInterface.register(Qwen3ModelAdapter)
    Qwen3ModelAdapter.inject_fa3_placeholders = inject


def run(job: Config, name: str) -> str:
    """Quantize; returns what failed."""
    torch.set_num_threads(1)
    case, work = job["cases"][name], Path(job["work"])
    process, savers = RECIPES[case["recipe"]]
    if FA3 in process:
        teach_fa3()
    # flatquant takes samples of one length only. It trains on four; with one it writes its
    # transforms as they start, and that is as good for a test.
    texts = job["texts"][:1] if FLAT in process else job["texts"]
    dataset, config = work / f"{name}.jsonl", work / f"{name}.yaml"
    dataset.write_text("".join(json.dumps({"inputs_pretokenized": t}) + "\n" for t in texts))
    save = [{"type": saver, "part_file_size": FILE_SIZE.get(case["recipe"], 4)} for saver in savers]
    label = {"w_bit": 8, "a_bit": 8, "is_sparse": False, "kv_cache": False}
    practice = {
        "apiversion": "modelslim_v1",
        "metadata": {"config_id": name, "score": 90, "label": label},
        "spec": {"process": process, "save": save, "dataset": str(dataset)},
    }
    config.write_text(yaml.safe_dump(practice, sort_keys=False))
    sys.argv = [
        *("msmodelslim", "quant", "--device", "cpu", "--trust_remote_code", "False"),
        *("--model_type", "Qwen3-30B" if case["base"] == "moe" else "Qwen3-14B"),
        *("--model_path", case["model"], "--save_path", str(Path(job["output"], name))),
        *("--config_path", str(config)),
    ]
    try:
        msmodelslim()
    except (ModelslimError, SystemExit) as error:
        traceback.print_exc()
        return f"{name}: {error.__cause__ or error}"
    print(f"made {name}", flush=True)
    return ""


def main(job: Config) -> None:
    with get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        failed = [text for text in pool.map(partial(run, job), job["cases"], chunksize=1) if text]
    if failed:
        raise SystemExit("\n".join(failed))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
