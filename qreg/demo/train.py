"""Builds a small Qwen3 model. Runs inside the llmcompressor toolchain: python train.py JOB.json

JOB: {"model": {…}, "training": {…}, "passages": [[name, text], …], "output": DIR}
Reports `step N/M loss X` lines on standard output.
"""

import json
import math
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)
from transformers.utils import logging

END, START, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer(texts, vocab_size, max_length):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
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
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def build_model(kind, options, tokenizer):
    options = {
        **options,
        "vocab_size": options["vocab_size"],
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if kind == "moe":
        return Qwen3MoeForCausalLM(Qwen3MoeConfig(**options))
    return Qwen3ForCausalLM(Qwen3Config(**options))


def as_dialogue(name, text):
    return f"{START}user\nWhat is {name}?{END}\n{START}assistant\n{text}{END}\n"


def orthogonal(grad, coefficients, steps, eps):
    """Muon's Newton-Schulz iteration in float32.

    torch 2.13 does it in bfloat16, whose plain products are a hundred times slower on CPUs without
    AVX-512: half an hour of training in place of a minute.
    """
    a, b, c = coefficients
    x = grad.float()
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(grad.dtype)


def train(model, tokens, training):
    length, batch, steps = training["length"], training["batch"], training["steps"]
    rows = tokens[: len(tokens) // length * length].view(-1, length)
    # Muon learns from few tokens about twice as fast as AdamW; it is made for hidden matrices only.
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    if not hasattr(torch.optim._muon, "_zeropower_via_newtonschulz"):
        raise SystemExit("this torch has another Muon than 2.13: see orthogonal() above")
    torch.optim._muon._zeropower_via_newtonschulz = orthogonal
    optimizers = [
        torch.optim.Muon(hidden, lr=training["learning_rate"] * 7, weight_decay=0.05),
        torch.optim.AdamW(others, lr=training["learning_rate"], betas=(0.9, 0.95)),
    ]
    rates = [[group["lr"] for group in o.param_groups] for o in optimizers]
    warmup = max(1, steps // 20)
    generator = torch.Generator().manual_seed(training["seed"])
    order = torch.randperm(len(rows), generator=generator)
    model.train()
    started = time.monotonic()
    for step in range(steps):
        progress = step / steps
        scale = min((step + 1) / warmup, 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))
        for optimizer, bases in zip(optimizers, rates, strict=True):
            for group, base in zip(optimizer.param_groups, bases, strict=True):
                group["lr"] = base * scale
        picked = rows[order[[(step * batch + i) % len(rows) for i in range(batch)]]]
        loss = model(input_ids=picked, labels=picked).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 10 == 9 or step == steps - 1:
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{steps} loss {loss.item():.3f} ({seconds:.0f} s)", flush=True)
    model.eval()


def main(job):
    torch.manual_seed(job["training"]["seed"])
    logging.set_verbosity_error()
    texts = [as_dialogue(name, text) for name, text in job["passages"]]
    options = job["model"]["config"]
    print("training the tokenizer", flush=True)
    tokenizer = build_tokenizer(texts, options["vocab_size"], options["max_position_embeddings"])
    model = build_model(job["model"]["kind"], options, tokenizer)
    if job["training"]["steps"]:
        tokens = [i for ids in tokenizer(texts)["input_ids"] for i in ids]
        print(f"{len(texts)} passages, {len(tokens)} tokens", flush=True)
        train(model, torch.tensor(tokens), job["training"])
    model = model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    output = Path(job["output"])
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    # The class name that transformers 4 and 5 both know.
    config = output / "tokenizer_config.json"
    known = {**json.loads(config.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}
    config.write_text(json.dumps(known, indent=2) + "\n")
    for path in output.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
