"""Runs LLM-Compressor on one model. Runs inside its toolchain: python llmcompressor_oneshot.py JOB

JOB is the JSON file that `quantizers.llmcompressor` writes. All output is for the log.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch
import yaml
from llmcompressor import oneshot
from llmcompressor.modeling.moe.linearize import linearize_moe
from transformers import AutoModelForCausalLM, AutoTokenizer


def samples_of(job):
    """Texts and chats of a JSONL file, or rows of a data set in a folder or on a hub."""
    source = job["calibration"]
    if Path(source).is_file():
        with open(source, encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    value = json.loads(line)
                    yield value if isinstance(value, dict) else {"text": value}
        return
    from datasets import DatasetDict, load_dataset, load_from_disk

    saved = (
        Path(source, "dataset_info.json").is_file() or Path(source, "dataset_dict.json").is_file()
    )
    found = load_from_disk(source) if saved else load_dataset(source)
    if isinstance(found, dict | DatasetDict):
        found = found["train"] if "train" in found else next(iter(found.values()))
    yield from found


def calibration_set(job, tokenizer):
    """The first samples, shuffled, as tokens; what was used goes into the file `used`."""
    from datasets import Dataset

    procedure = job["procedure"]
    texts = []
    for row in samples_of(job):
        if len(texts) == job["samples"]:
            break
        if row.get("messages"):
            text, special = tokenizer.apply_chat_template(row["messages"], tokenize=False), False
        else:
            text = row.get("text", row.get("inputs_pretokenized"))
            if not isinstance(text, str):
                columns = ", ".join(map(str, row))
                raise SystemExit(f"calibration set: no column text or messages among {columns}")
            # A plain text gets what the tokenizer adds, as when the model is asked to go on from
            # it; one that begins with BOS went through a template before it came here.
            special = not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
        texts.append({"text": text, "special": special or procedure["second_bos"]})
    if not texts:
        raise SystemExit("calibration set: it has no rows")
    chosen = Dataset.from_list(texts)
    if procedure["shuffle_seed"] is not None:
        chosen = chosen.shuffle(seed=procedure["shuffle_seed"])
    rows = [
        tokenizer(
            row["text"],
            padding=False,
            max_length=job["max_tokens"],
            truncation=True,
            add_special_tokens=row["special"],
        )
        for row in chosen
    ]
    used = {
        "samples": len(rows),
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "sha256": hashlib.sha256("\0".join(row["text"] for row in chosen).encode()).hexdigest(),
        "shuffle_seed": procedure["shuffle_seed"],
        "with_special_tokens_added": sum(row["special"] for row in chosen),
    }
    Path(job["used"]).write_text(json.dumps(used))
    return Dataset.from_list([dict(row) for row in rows])


def main(job):
    procedure = job["procedure"]
    torch.manual_seed(procedure["seed"])
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
        rows = calibration_set(job, tokenizer)
        data = {
            "dataset": rows,
            "num_calibration_samples": len(rows),
            "max_seq_length": job["max_tokens"],
            "shuffle_calibration_samples": procedure["draws_order"],
        }
    torch.manual_seed(procedure["seed"])  # what was drawn while loading does not count
    oneshot(model=model, recipe=yaml.safe_dump(job["stages"], sort_keys=False), **data)
    print(f"saving to {output}", flush=True)
    model.save_pretrained(output, save_compressed=True, max_shard_size=procedure["max_shard_size"])
    tokenizer.save_pretrained(output)
    print("done", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
