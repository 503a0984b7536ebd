"""Runs LLM-Compressor on one model. Runs inside its toolchain: python llmcompressor_oneshot.py JOB

JOB is the JSON file that `quantizers.llmcompressor` writes. All output is for the log.
"""

import json
import sys
from pathlib import Path

import torch
import yaml
from llmcompressor import oneshot
from llmcompressor.modeling.moe.linearize import linearize_moe
from transformers import AutoModelForCausalLM, AutoTokenizer


def calibration_set(path, tokenizer, samples, max_tokens):
    from datasets import Dataset

    texts = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip() and len(texts) < samples:
                value = json.loads(line)
                if isinstance(value, dict) and "messages" in value:
                    texts.append(tokenizer.apply_chat_template(value["messages"], tokenize=False))
                else:
                    texts.append(value if isinstance(value, str) else value["text"])
    rows = [tokenizer(text, max_length=max_tokens, truncation=True) for text in texts]
    return Dataset.from_list([dict(row) for row in rows])


def main(job):
    torch.manual_seed(job["seed"])
    source, output = job["source"], Path(job["output"])
    trust = job["trust_remote_code"]
    print(f"loading {source}", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust)
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", trust_remote_code=trust)
    # LLM-Compressor's load_quantizable_moe would do this while loading, with less memory, but its
    # patching imports every model of transformers, and with them torchvision.
    linearize_moe(model)
    data = {}
    if job["calibration"]:
        rows = calibration_set(job["calibration"], tokenizer, job["samples"], job["max_tokens"])
        data = {
            "dataset": rows,
            "num_calibration_samples": len(rows),
            "max_seq_length": job["max_tokens"],
            "shuffle_calibration_samples": False,
        }
    oneshot(model=model, recipe=yaml.safe_dump(job["stages"], sort_keys=False), **data)
    print(f"saving to {output}", flush=True)
    model.save_pretrained(output, save_compressed=True)
    tokenizer.save_pretrained(output)
    print("done", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
