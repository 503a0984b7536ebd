"""Measures what models predict. Runs inside the llmcompressor toolchain: python perplexity.py JOB

JOB: {"models": {name: folder}, "text", "window", "max_tokens", "max_bytes", "answers", "scratch",
      "trust_remote_code", "until", "result"}
The first model is the reference; the logits of its first tokens are kept in the file `scratch`, up
to `max_bytes`, and the others' are held against them. All is computed in float32. A folder with a
`simulation.json` (quantizers/quality/simulation.py) has its layers' inputs quantized by its rules.
`until` is when its time is up, in seconds since 1970, or null. Each model gets its share of it. All
figures are of the first windows that all models had time for; if there is none, it exits with 75.

Reports `window NAME i of n` lines; writes {"perplexity": {name: value}, "tokens": n, "of_tokens": n
of the whole text, "divergence": {name: nats a token}, "agreement": {name: share}, "compared": n,
"answers": [{"prompt", "continuations": {name: text}}]} to `result`.
"""

import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT, ANSWER = 32, 24  # tokens
OUT_OF_TIME = 75  # exit code
FP8_LARGEST, FP4_LARGEST = 448.0, 6.0
FP4_VALUES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
FP4_BOUNDS = (FP4_VALUES[1:] + FP4_VALUES[:-1]) / 2
MX_LARGEST_EXPONENT = {8: 8, 4: 2}  # of E4M3 and E2M1


def load(folder, trust):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=trust
    ).eval()
    rules = Path(folder, "simulation.json")
    if rules.is_file():
        inputs = json.loads(rules.read_text())["inputs"]
        modules = dict(model.named_modules())
        if any(name not in modules for name in inputs):  # experts that transformers holds fused
            # Importing it takes as long as all the rest does for a small model.
            from llmcompressor.modeling.moe.linearize import linearize_moe

            linearize_moe(model)
            modules = dict(model.named_modules())
        missing = [name for name in inputs if name not in modules]
        if missing:
            raise SystemExit(f"{folder}: the model has no modules {missing[:5]}")
        for name, rule in inputs.items():
            modules[name].register_forward_pre_hook(quantizing(rule))
        for shard in Path(folder, "biases").glob("*.safetensors"):
            for name, bias in load_file(shard).items():
                add_bias(modules[name.removesuffix(".bias")], bias.float())
    return model


def add_bias(module, bias):
    own = getattr(module, "bias", None)
    if own is not None:
        own.data.copy_(bias)
    else:
        module.register_forward_hook(lambda _module, _inputs, output: output + bias)


def quantizing(rule):
    return lambda _module, inputs: (fake_quantize(inputs[0], rule), *inputs[1:])


def fake_quantize(x, rule):
    kind = rule["kind"]
    if kind == "int":
        return integers(x, rule)
    if kind == "fp8":
        return floats8(x, rule)
    if kind == "nvfp4":
        return nvfp4(x, rule["scale"])
    if "outer" in rule:
        blocks = in_groups(x, rule["outer"])
        scale = largest(blocks) / FP4_LARGEST
        return (mx(blocks / scale, rule["bits"]) * scale).reshape(x.shape)
    return mx(x, rule["bits"])


def integers(x, rule):
    top = 2 ** (rule["bits"] - 1) - 1
    if "scale" in rule:
        codes = torch.clamp(torch.round(x / rule["scale"]) + rule["offset"], -top - 1, top)
        return (codes - rule["offset"]) * rule["scale"]
    scale = largest(x) / top
    return torch.clamp(torch.round(x / scale), -top - 1, top) * scale


def floats8(x, rule):
    if "scale" in rule:
        return to_fp8(x / rule["scale"]) * rule["scale"]
    blocks = in_groups(x, rule["group"]) if "group" in rule else x
    scale = largest(blocks) / FP8_LARGEST
    return (to_fp8(blocks / scale) * scale).reshape(x.shape)


def mx(x, bits):
    blocks = in_groups(x, 32)
    exponent = torch.floor(torch.log2(largest(blocks))) - MX_LARGEST_EXPONENT[bits]
    scale = torch.exp2(exponent.clamp(min=-127))
    codes = to_fp8(blocks / scale) if bits == 8 else to_fp4(blocks / scale)
    return (codes * scale).reshape(x.shape)


def nvfp4(x, top):
    blocks = in_groups(x, 16)
    scale = to_fp8(largest(blocks) / FP4_LARGEST * top).clamp(min=2.0**-9) / top
    return (to_fp4(blocks / scale) * scale).reshape(x.shape)


def in_groups(x, size):
    if x.shape[-1] % size:
        raise SystemExit(f"{x.shape[-1]} inputs cannot be cut into groups of {size}")
    return x.unflatten(-1, (-1, size))


def largest(x):
    return x.abs().amax(-1, keepdim=True).clamp(min=1e-12)


def to_fp8(x):
    return x.clamp(-FP8_LARGEST, FP8_LARGEST).to(torch.float8_e4m3fn).float()


def to_fp4(x):
    return FP4_VALUES[torch.bucketize(x.abs(), FP4_BOUNDS)] * torch.sign(x)


class Reference:
    """The logits of the first model, for the first tokens."""

    def __init__(self, path, limit):
        self.path, self.limit, self.rows = path, limit, None

    def begin(self, tokens, vocabulary):
        count = max(1, min(tokens, self.limit // (4 * vocabulary)))
        size = count * vocabulary
        stored = torch.from_file(self.path, shared=True, size=size, dtype=torch.float32)
        self.rows = stored.view(count, vocabulary)


@dataclass
class Window:
    """Sums over the tokens of a window; those of the last three fields are of `compared` tokens."""

    loss: float
    tokens: int
    divergence: float = 0.0
    agreement: float = 0.0
    compared: int = 0


@torch.inference_mode()
def measure(name, model, rows, reference, until, found, told):
    """Add the windows that there is time for to `found`; `told` is called after each."""
    first, count = reference.rows is None, 0
    for index, row in enumerate(rows):
        if until is not None and time.time() >= until:
            break
        logits = model(input_ids=row[None]).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum").item()
        window = Window(loss, len(logits))
        if first and reference.rows is None:
            reference.begin(len(rows) * logits.shape[0], logits.shape[1])
        kept = reference.rows[count : count + len(logits)]
        if first:
            kept.copy_(logits[: len(kept)])
        elif len(kept):
            if kept.shape[1] != logits.shape[1]:
                raise SystemExit(f"{name} predicts {logits.shape[1]} tokens, not {kept.shape[1]}")
            expected = torch.log_softmax(kept, -1)
            predicted = torch.log_softmax(logits[: len(kept)], -1)
            each = (expected.exp() * (expected - predicted)).double().sum(-1)
            window.divergence = each.sum().item()
            window.agreement = (kept.argmax(-1) == logits[: len(kept)].argmax(-1)).sum().item()
            window.compared = len(kept)
        count += len(logits)
        found.append(window)
        print(f"window {name} {index + 1} of {len(rows)}", flush=True)
        told()


def share_of(until, models):
    """When the time of one of several models that are still to come is up."""
    if until is None:
        return None
    now = time.time()
    return now + max(0.0, until - now) / models


@torch.inference_mode()
def go_on(model, ids):
    """The tokens that a model finds most likely after some others, one after the other."""
    found = ids[None]
    for _ in range(ANSWER):
        best = model(input_ids=found).logits[0, -1].argmax()
        found = torch.cat([found, best[None, None]], dim=1)
    return found[0, len(ids) :]


def answers(name, model, tokenizer, rows, count, known):
    """Go on from the beginnings of evenly spaced windows."""
    step = max(1, len(rows) // max(1, count))
    for number, row in enumerate(rows[::step][:count]):
        ids = row[:PROMPT]
        if number == len(known):
            known.append({"prompt": tokenizer.decode(ids), "continuations": {}})
        known[number]["continuations"][name] = tokenizer.decode(go_on(model, ids))


def main(job):
    text = Path(job["text"]).read_text(encoding="utf-8")
    reference = Reference(job["scratch"], job["max_bytes"])
    result = {"perplexity": {}, "divergence": {}, "agreement": {}, "compared": 0, "answers": []}
    measured = {}

    def told():
        # Whoever ends this process when its time is up has the windows so far.
        if job["until"] is not None and len(measured) == len(job["models"]):
            write(job, result, measured)

    for number, (name, folder) in enumerate(job["models"].items()):
        until = share_of(job["until"], len(job["models"]) - number)
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=job["trust_remote_code"]
        )
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids = torch.tensor(ids[: job["max_tokens"]])
        window = min(job["window"], len(ids))
        if window < 2:
            raise SystemExit("the text has less than two tokens")
        rows = ids[: len(ids) // window * window].view(-1, window)
        result["of_tokens"] = len(rows) * (window - 1)
        rows = rows[: min(map(len, measured.values()), default=len(rows))]
        model = load(folder, job["trust_remote_code"])
        measured[name] = []
        measure(name, model, rows, reference, until, measured[name], told)
        if not measured[name]:
            print(f"there was no time for {name}", flush=True)
            raise SystemExit(OUT_OF_TIME)
        answers(name, model, tokenizer, rows, job["answers"], result["answers"])
        del model
    write(job, result, measured)


def write(job, result, measured):
    """The figures of the windows that all models have."""
    count = min(map(len, measured.values()))
    for name, windows in measured.items():
        part = windows[:count]
        tokens, compared = sum(w.tokens for w in part), sum(w.compared for w in part)
        loss = sum(w.loss for w in part) / tokens
        divergence = sum(w.divergence for w in part)
        if not math.isfinite(loss) or not math.isfinite(divergence):
            Path(job["result"]).unlink(missing_ok=True)
            raise SystemExit(f"the loss of {name} is {loss}, its divergence {divergence}")
        result["perplexity"][name], result["tokens"] = math.exp(loss), tokens
        if compared:
            result["divergence"][name] = divergence / compared
            result["agreement"][name] = sum(w.agreement for w in part) / compared
            result["compared"] = compared
    partial = Path(f"{job['result']}.partial")
    partial.write_text(json.dumps(result))
    os.replace(partial, job["result"])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
