"""Quantizes small models with ModelSlim's older Python API. Runs inside the modelslim toolchain.

python modelslim_v0.py JOB

JOB: {"output": DIR, "texts": [text, …], "cases": {name: {"recipe": name here, "model": folder}}}

The files beside the weights are copied by the function with which ModelSlim's own command does it.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from msmodelslim.core.quant_service.modelslim_v0.quant_service import copy_files
from msmodelslim.pytorch.llm_ptq.anti_outlier import AntiOutlier, AntiOutlierConfig
from msmodelslim.pytorch.llm_ptq.llm_ptq_tools import Calibrator, QuantConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

ASCEND, MINDIE = "ascendV1", "safe_tensor"


@dataclass(frozen=True)
class Recipe:
    """One run.

    Attributes:
        config: arguments of QuantConfig.
        weights: arguments of `QuantConfig.weight_quant`; empty where that is not called.
        calibrator: further arguments of Calibrator.
        save: arguments of `Calibrator.save`.
        smooth: method of AntiOutlier; empty for none.
        tensor_parallel: ranks for which layers are quantized in slices; 0 for none.
    """

    config: dict[str, Any]
    weights: dict[str, Any] = field(default_factory=dict)
    calibrator: dict[str, Any] = field(default_factory=dict)
    save: dict[str, Any] = field(default_factory=lambda: {"save_type": [ASCEND]})
    smooth: str = ""
    tensor_parallel: int = 0


W8A8 = {"w_bit": 8, "a_bit": 8, "mm_tensor": False}
W8A16 = {"w_bit": 8, "a_bit": 16, "mm_tensor": False}
W4A16 = {"w_bit": 4, "a_bit": 16, "mm_tensor": False}
DYNAMIC = {**W8A8, "is_dynamic": True}
GROUP = {"is_lowbit": True, "open_outlier": False, "group_size": 64}
OUTLIERS = {"is_lowbit": True, "co_sparse": True, "fraction": 0.011, "use_sigma": True}
W8A8S = {**W8A8, **OUTLIERS, "w_bit": 4}
TO_MINDIE = {"save_type": [MINDIE]}
ROUTERS = [f"model.layers.{layer}.mlp.gate" for layer in range(2)]

RECIPES = {
    "w8a8": Recipe(W8A8),
    "w8a8-mindie": Recipe(W8A8, save=TO_MINDIE),
    "w8a8-per-tensor": Recipe({**W8A8, "mm_tensor": True}),
    "w8a8-smooth": Recipe(W8A8, smooth="m4"),
    "w8a8-smooth-mindie": Recipe(W8A8, smooth="m4", save=TO_MINDIE),
    "w8a8-parts": Recipe(W8A8, save={"save_type": [ASCEND], "part_file_size": 1}),
    "w8a8-tp": Recipe(W8A8, tensor_parallel=2),
    "w8a8-mix": Recipe({**W8A8, "pdmix": True}),
    "w8a8-dynamic": Recipe(DYNAMIC),
    "w8a8-dynamic-mindie": Recipe(DYNAMIC, save=TO_MINDIE),
    "w8a8s": Recipe(W8A8S),
    "w8a8s-mindie": Recipe(W8A8S, save=TO_MINDIE),
    "w8a16": Recipe(W8A16),
    "w8a16-mindie": Recipe(W8A16, save=TO_MINDIE),
    "w8a16-asym": Recipe({**W8A16, "w_sym": False}),
    "w8a16-group": Recipe({**W8A16, **GROUP}),
    "w4a16": Recipe(W4A16),
    "w4a16-group": Recipe({**W4A16, **GROUP}),
    "nf4": Recipe({"w_bit": 4, "a_bit": 16, "w_method": "NF"}, {"w_method": "NF"}),
    "w4a8-dynamic-group": Recipe({**DYNAMIC, **GROUP, "w_bit": 4}),
    "moe-w8a8": Recipe(
        {**W8A8, "disable_names": ROUTERS},
        calibrator={"mix_cfg": {"*.mlp.*": "w8a8_dynamic", "*": "w8a8"}},
    ),
}


def quantize(recipe: Recipe, model_folder: str, output: Path, texts: list[str]) -> None:
    torch.manual_seed(42)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, torch_dtype="auto").eval()
    data = [[tokenizer(text, return_tensors="pt").input_ids] for text in texts]
    if recipe.smooth:
        config = AntiOutlierConfig(anti_method=recipe.smooth, dev_type="cpu")
        AntiOutlier(model, calib_data=data, cfg=config).process()
    config = QuantConfig(dev_type="cpu", **recipe.config)
    if recipe.weights:
        config = config.weight_quant(**recipe.weights)
    if recipe.tensor_parallel:
        config = config.simulate_tp(recipe.tensor_parallel)
    calibrator = Calibrator(model, config, data, disable_level="L0", **recipe.calibrator)
    calibrator.run()
    calibrator.save(str(output), **recipe.save)
    copy_files(model_folder, str(output))


def main(job: dict[str, Any]) -> None:
    for name, case in job["cases"].items():
        output = Path(job["output"], name)
        quantize(RECIPES[case["recipe"]], case["model"], output, job["texts"])
        print(f"made {name}", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
