"""Makes the small float models that the tests quantize. Runs inside the modelslim toolchain.

python float_models.py JOB

JOB: {"output": DIR, "texts": [text, …], "cases": {model: {}, …}}

The weights are random. transformers 4 writes the configuration (`rope_theta`, experts one by one),
as most published checkpoints have it; transformers 5 reads it, too.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

SEED = 7
VOCABULARY = 1024  # more than the tokenizer has, as with the real models
END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "max_window_layers": 2,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
# Per model: what differs from SHAPE, and the weights' type.
MODELS: dict[str, tuple[dict[str, Any], torch.dtype]] = {
    "dense": ({}, torch.bfloat16),
    "dense-float16": ({}, torch.float16),
    "dense-float32": ({}, torch.float32),
    "dense-tied": ({"tie_word_embeddings": True, "attention_bias": True}, torch.bfloat16),
    "moe": (EXPERTS, torch.bfloat16),
}


def build_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=SHAPE["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
    )


def build_model(name: str, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    changes, dtype = MODELS[name]
    tokens = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    options = {**SHAPE, **changes, **tokens}
    torch.manual_seed(SEED)
    model: PreTrainedModel
    if "num_experts" in changes:
        model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**options))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**options))
    for key, weight in model.named_parameters():
        if key.endswith(".bias"):  # transformers starts with zeros
            torch.nn.init.normal_(weight, std=0.02)
    model.generation_config = GenerationConfig(**tokens, do_sample=False)
    return model.to(dtype)


def main(job: dict[str, Any]) -> None:
    tokenizer = build_tokenizer(job["texts"])
    for name in job["cases"]:
        folder = Path(job["output"], name)
        build_model(name, tokenizer).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        print(f"made {name}", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
