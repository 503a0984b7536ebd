"""LLM-Compressor called as in the two examples of vLLM Ascend's quantization guide.

python guide_examples.py JOB, inside the llmcompressor toolchain.

JOB: {"output": DIR, "models": {name: "llama" | "qwen3" | "qwen3-moe"}, "chats": FILE.jsonl,
      "samples": n, "seed": of torch}

For each model it makes DIR/float/NAME, tiny and random, and DIR/guide/NAME, what the guide's
example makes of it. The calls are those of the guide, line by line, with two exceptions: the data
set is a file, and torch is seeded before `oneshot`, which draws the order of samples from it.
`DIR/guide/NAME.calibration.json` holds the token ids that the example hands on, in their order.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import load_dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
# As Llama's: the template writes the BOS token, and the tokenizer adds one to every text, too.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "[{{ message['role'] }}] {{ message['content'] }}{{ eos_token }}{% endfor %}"
)
SHAPE = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "tie_word_embeddings": False,
}
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
MAX_SEQUENCE_LENGTH = 2048


def make_model(kind, texts, folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SHAPE["vocab_size"],
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    torch.manual_seed(7)
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    elif kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**SHAPE))
    else:
        model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SHAPE, **EXPERTS))
    model.to(torch.bfloat16).save_pretrained(folder)


def dense(model_id, save_dir, job):
    """The guide's example for dense models: SmoothQuant and GPTQ, with a calibration set."""
    model = AutoModelForCausalLM.from_pretrained(model_id, dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    ds = load_dataset("json", data_files=job["chats"], split=f"train[:{job['samples']}]")
    ds = ds.shuffle(seed=42)

    def preprocess(example):
        return {"text": tokenizer.apply_chat_template(example["messages"], tokenize=False)}

    ds = ds.map(preprocess)

    def tokenize(sample):
        return tokenizer(
            sample["text"],
            padding=False,
            max_length=MAX_SEQUENCE_LENGTH,
            truncation=True,
            add_special_tokens=False,
        )

    ds = ds.map(tokenize, remove_columns=ds.column_names)
    Path(f"{save_dir}.calibration.json").write_text(json.dumps(list(ds["input_ids"])))
    recipe = [
        SmoothQuantModifier(smoothing_strength=0.8),
        GPTQModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"]),
    ]
    torch.manual_seed(job["seed"])
    oneshot(
        model=model,
        dataset=ds,
        recipe=recipe,
        max_seq_length=MAX_SEQUENCE_LENGTH,
        num_calibration_samples=job["samples"],
    )
    model.save_pretrained(save_dir, save_compressed=True)
    tokenizer.save_pretrained(save_dir)


def mixture(model_id, save_dir):
    """The guide's example for mixtures of experts: INT8, data-free."""
    model = AutoModelForCausalLM.from_pretrained(model_id, dtype="auto", trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=True)
    recipe = QuantizationModifier(
        targets="Linear", scheme="INT8", ignore=["lm_head", "re:.*mlp.gate$"]
    )
    oneshot(model=model, recipe=recipe, trust_remote_code_model=True)
    model.save_pretrained(save_dir, save_compressed=True, max_shard_size="5GB")
    tokenizer.save_pretrained(save_dir)


def main(job):
    output = Path(job["output"])
    (output / "guide").mkdir(parents=True)
    with open(job["chats"], encoding="utf-8") as file:
        texts = [m["content"] for line in file for m in json.loads(line)["messages"]]
    for name, kind in job["models"].items():
        make_model(kind, texts, output / "float" / name)
        if kind == "qwen3-moe":
            mixture(str(output / "float" / name), str(output / "guide" / name))
        else:
            dense(str(output / "float" / name), str(output / "guide" / name), job)
        print(f"made {name}", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
