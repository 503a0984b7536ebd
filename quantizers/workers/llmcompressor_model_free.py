"""Quantizes a checkpoint shard by shard. Runs inside the llmcompressor toolchain:

python llmcompressor_model_free.py JOB

JOB is the JSON file that `quantizers.llmcompressor` writes. All output is for the log.
"""

import json
import sys
from pathlib import Path

import torch
from llmcompressor import model_free_ptq


def main(job):
    torch.manual_seed(job["seed"])
    print(f"quantizing the shards of {job['source']}", flush=True)
    model_free_ptq(
        model_stub=job["source"],
        save_directory=job["output"],
        scheme=job["model_free"]["scheme"],
        ignore=job["model_free"].get("ignore", []),
        max_workers=1,  # one shard in memory at a time
        device=job["device"] or None,
    )
    print("done", flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
