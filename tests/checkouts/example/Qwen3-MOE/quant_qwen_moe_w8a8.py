"""A stand-in for `example/Qwen3-MOE/quant_qwen_moe_w8a8.py` of ModelSlim's repository.

The original is not ours to copy. Its interface is taken over point by point: helpers come from two
folders above its own; `--anti_dataset` and `--calib_dataset` must end in `json`, are arrays of
texts, and are by default those of `../common`, seen from the working folder; m4 smooths, every
router is left out, `w_sym`, `act_method=1`; `--layer_count`, `--batch_size` from 1 to 16,
`--mindie_format`, `--trust_remote_code True|False`, `--rot`. The original imports torch_npu, keeps
layers on the CPU and computes on NPUs: those lines are turned to the CPU here.
"""

import argparse
import json
import os
import sys

import torch

current_directory = os.path.dirname(os.path.abspath(__file__))
parent_directory = os.path.abspath(os.path.join(current_directory, "..", ".."))
sys.path.append(parent_directory)

from example.common.utils import cmd_bool, get_valid_read_path  # noqa: E402
from msmodelslim.pytorch.llm_ptq.anti_outlier import AntiOutlier, AntiOutlierConfig  # noqa: E402
from msmodelslim.pytorch.llm_ptq.llm_ptq_tools import Calibrator, QuantConfig  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # noqa: E402


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_path", type=str)
    parser.add_argument("--save_path", type=str)
    parser.add_argument("--layer_count", type=int, default=0)
    parser.add_argument(
        "--anti_dataset", type=str, default="../common/qwen3-moe_anti_prompt_50.json"
    )
    parser.add_argument(
        "--calib_dataset", type=str, default="../common/qwen3-moe_calib_prompt_50.json"
    )
    parser.add_argument("--batch_size", type=int, default=4, choices=range(1, 17))
    parser.add_argument("--mindie_format", action="store_true")
    parser.add_argument("--trust_remote_code", type=cmd_bool, default=False)
    parser.add_argument("--rot", action="store_true")
    return parser.parse_args()


def batches(tokenizer, texts, size):
    found = []
    for start in range(0, len(texts), size):
        inputs = tokenizer(texts[start : start + size], return_tensors="pt", padding=True)
        found.append([inputs.data["input_ids"], inputs.data["attention_mask"]])
    return found


def main():
    args = parse_args()
    config = AutoConfig.from_pretrained(args.model_path, trust_remote_code=args.trust_remote_code)
    if args.layer_count > 0:
        config.num_hidden_layers = args.layer_count
    tokenizer = AutoTokenizer.from_pretrained(args.model_path, use_fast=False, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(
        args.model_path, config=config, torch_dtype="auto"
    ).eval()
    if args.rot:
        # The original turns the weights by a Hadamard matrix; here a sign that the option came.
        open("rotated.txt", "w").close()
        with torch.no_grad():
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight.neg_()
                layer.self_attn.v_proj.weight.neg_()
    anti_path = get_valid_read_path(args.anti_dataset, "json")
    calib_path = get_valid_read_path(args.calib_dataset, "json")
    with open(anti_path) as file:
        anti_prompts = json.load(file)
    with open(calib_path) as file:
        calib_prompts = json.load(file)
    anti_set = batches(tokenizer, anti_prompts, args.batch_size)
    calib_set = batches(tokenizer, calib_prompts, args.batch_size)
    with torch.no_grad():
        anti = AntiOutlierConfig(w_bit=8, a_bit=8, anti_method="m4", dev_type="cpu")
        AntiOutlier(model, calib_data=anti_set, cfg=anti).process()
        disabled = [f"model.layers.{i}.mlp.gate" for i in range(config.num_hidden_layers)]
        quant = QuantConfig(
            w_bit=8,
            a_bit=8,
            disable_names=disabled,
            dev_type="cpu",
            act_method=1,
            pr=1.0,
            w_sym=True,
            mm_tensor=False,
        )
        calibrator = Calibrator(
            model,
            quant,
            calib_data=calib_set,
            disable_level="L0",
            mix_cfg={"*.mlp.*": "w8a8_dynamic", "*": "w8a8"},
        )
        calibrator.run()
    description = "quant_model_description.json"
    kind = "safe_tensor" if args.mindie_format else "ascendV1"
    calibrator.save(args.save_path, json_name=description, save_type=[kind], part_file_size=4)
    config.save_pretrained(args.save_path)


if __name__ == "__main__":
    main()
