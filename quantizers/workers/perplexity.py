"""Measures perplexity. Runs inside the llmcompressor toolchain: python perplexity.py JOB

JOB: {"models": {name: folder}, "text", "window", "max_tokens", "trust_remote_code", "result"}
Reports `window NAME i of n` lines; writes {"perplexity": {name: value}, "tokens": n} to `result`.
"""

import json
import math
import sys
from pathlib import Path

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import apply_quantization_config
from llmcompressor.modeling.moe.linearize import get_non_linearized_moes, linearize_moe
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    CompressedTensorsConfig,
)


def load(folder, trust):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
    if getattr(config, "quantization_config", None) is not None:
        with torch.device("meta"):
            bare = AutoModelForCausalLM.from_config(config, trust_remote_code=trust)
        if get_non_linearized_moes(bare):
            return load_with_separate_experts(folder, config, trust)
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=trust)


def load_with_separate_experts(folder, config, trust):
    """Quantized experts are stored one by one; transformers' own classes hold them fused."""
    compressor = ModelCompressor.from_compression_config(
        CompressedTensorsConfig.from_dict(config.quantization_config)
    )
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust, dtype=config.dtype)
    linearize_moe(model)
    apply_quantization_config(model, compressor.quantization_config)
    compressor.compress_model(model)
    weights = {}
    for shard in sorted(Path(folder).glob("*.safetensors")):
        weights.update(load_file(shard))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    if set(missing) - tied or unexpected:
        raise SystemExit(f"{folder}: missing {missing[:5]}, unexpected {unexpected[:5]}")
    compressor.decompress_model(model)
    return model


@torch.inference_mode()
def perplexity(name, model, rows):
    total, count = 0.0, 0
    for index, row in enumerate(rows):
        logits = model(input_ids=row[None]).logits[0, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum")
        total, count = total + losses.item(), count + len(row) - 1
        print(f"window {name} {index + 1} of {len(rows)}", flush=True)
    return math.exp(total / count), count


def main(job):
    text = Path(job["text"]).read_text(encoding="utf-8")
    results, tokens = {}, 0
    for name, folder in job["models"].items():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=job["trust_remote_code"]
        )
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids = torch.tensor(ids[: job["max_tokens"]])
        window = min(job["window"], len(ids))
        rows = ids[: len(ids) // window * window].view(-1, window)
        model = load(folder, job["trust_remote_code"]).eval()
        results[name], tokens = perplexity(name, model, rows)
        if not math.isfinite(results[name]):
            raise SystemExit(f"the perplexity of {name} is {results[name]}")
        del model
    Path(job["result"]).write_text(json.dumps({"perplexity": results, "tokens": tokens}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
