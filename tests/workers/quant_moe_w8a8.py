"""A script of the kind that ModelSlim's repository has in its example folder.

It has the options of `example/Qwen3-MOE/quant_qwen_moe_w8a8.py` that matter here, and does the same
with msmodelslim's v0 API, on the CPU and on a model of any size.
"""

import argparse
import json

import torch
from msmodelslim.pytorch.llm_ptq.anti_outlier import AntiOutlier, AntiOutlierConfig
from msmodelslim.pytorch.llm_ptq.llm_ptq_tools import Calibrator, QuantConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("--model_path")
parser.add_argument("--save_path")
parser.add_argument("--calib_dataset")
parser.add_argument("--anti_dataset")
parser.add_argument("--anti_method", default="m4")
parser.add_argument("--skip_experts", action="store_true")
arguments = parser.parse_args()

torch.manual_seed(42)
tokenizer = AutoTokenizer.from_pretrained(arguments.model_path)
model = AutoModelForCausalLM.from_pretrained(arguments.model_path, torch_dtype="auto").eval()


def samples(path):
    with open(path, encoding="utf-8") as file:
        texts = [json.loads(line)["inputs_pretokenized"] for line in file]
    return [[tokenizer(text, return_tensors="pt").input_ids] for text in texts]


if arguments.anti_dataset:
    smoothing = AntiOutlierConfig(anti_method=arguments.anti_method, dev_type="cpu")
    AntiOutlier(model, calib_data=samples(arguments.anti_dataset), cfg=smoothing).process()
data = samples(arguments.calib_dataset)
names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
left_out = ("mlp.gate",) if not arguments.skip_experts else ("mlp.gate", "_proj")
disabled = [n for n in names if n.endswith(left_out) and "self_attn" not in n]
config = QuantConfig(w_bit=8, a_bit=8, mm_tensor=False, dev_type="cpu", disable_names=disabled)
mixture = {"*.mlp.*": "w8a8_dynamic", "*": "w8a8"}
calibrator = Calibrator(model, config, data, disable_level="L0", mix_cfg=mixture)
calibrator.run()
calibrator.save(
    arguments.save_path, json_name="quant_model_description.json", save_type=["ascendV1"]
)
model.config.save_pretrained(arguments.save_path)
