"""Checks of config.json and of the files beside the weights that serving needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from registry.checkpoint.quantization.layers import FLOAT, UNKNOWN
from registry.finding import ERROR, INFO, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject

TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json", "spiece.model",
    "tekken.json", "sentencepiece.bpe.model", "vocab.txt",
)  # fmt: skip
# Models whose engines build prompts in code (vLLM's tokenizer modes), without a template.
_OWN_PROMPTS = ("deepseek_v32", "deepseek_v4")


@check(
    "quantization-config-left",
    ERROR,
    prevents="The float model's FP8 settings win over ModelSlim's description, in silence or with "
    "an error.",
    seen=f"{ASCEND}1997, {ASCEND}1270, {ASCEND}12675",
    fix="Remove quantization_config from config.json (qreg lint --fix), or serve with "
    "--hf-overrides '{\"quantization_config\": null}'.",
    mendable=True,
)
def quantization_config_left(subject: Subject) -> Iterator[Found]:
    config = subject.config_of_quantization
    # MindIE's format puts a section of its own there, which names no method.
    if subject.is_modelslim and config.get("quant_method") not in (None, "ascend"):
        method = str(config["quant_method"])[:40]
        yield Found(f"config.json still has the quantization_config of {method}", "config.json")


@check(
    "quantization-unexplained",
    ERROR,
    prevents="Integers are loaded as if they were floats: garbage, or shapes that do not fit.",
    seen=f"{ASCEND}883",
    fix="Copy quant_model_description.json, or the config.json with quantization_config, that was "
    "written with these weights.",
)
def quantization_unexplained(subject: Subject) -> Iterator[Found]:
    names = [x.module for x in subject.quantization.layers if x.scheme == UNKNOWN]
    if names and not subject.is_modelslim:
        method = subject.quantization.method
        yield Found(
            f"Nothing says how {some(names, 'layers')} are quantized"
            + (f" (quant_method {method!r})" if method != "none" else ""),
            names[0],
        )


@check(
    "mostly-float",
    WARNING,
    prevents="The model takes far more memory than its name promises.",
    seen="msmodelslim 26.1.0 with transformers 5 leaves all experts FLOAT and reports success",
    fix="Quantize again with the versions that the model's adapter asks for.",
)
def mostly_float(subject: Subject) -> Iterator[Found]:
    quantized = sum(x.tensor.size for x in subject.quantization.layers if x.scheme != FLOAT)
    floats = [
        x
        for x in subject.quantization.layers
        if x.scheme == FLOAT and x.component in ("attention", "mlp", "experts", "shared_experts")
    ]
    left = sum(x.tensor.size for x in floats)
    if quantized and left > quantized:
        name = max(floats, key=lambda x: x.tensor.size).module
        yield Found(
            f"{len(floats)} layers, {left:,} of {left + quantized:,} bytes, are float", name
        )


@check(
    "architecture-unknown",
    INFO,
    prevents="Facts that config.json leaves to the model's code are missing from plans.",
    seen="model types newer than qreg",
    fix="Nothing to mend; qreg shows only what config.json says.",
)
def architecture_unknown(subject: Subject) -> Iterator[Found]:
    config = subject.checkpoint.config
    if config and subject.architecture.family is None:
        yield Found(f"qreg does not know the model type {subject.architecture.model_type!r}")


@check(
    "architectures",
    WARNING,
    prevents="vLLM cannot tell which of its models to build.",
    seen="hand-written config.json",
    fix='Add "architectures" to config.json, as in the base model.',
)
def architectures(subject: Subject) -> Iterator[Found]:
    if subject.checkpoint.config and not subject.architecture.architectures:
        yield Found("config.json names no architectures", "config.json")


@check(
    "remote-code-missing",
    ERROR,
    prevents="--trust-remote-code is given, and the code is not there, or comes from the internet.",
    seen="clusters without internet; quantizers that copy .json files only",
    fix="Copy the .py files from the base model (qreg lint --fix --base MODEL).",
    mendable=True,
)
def remote_code_missing(subject: Subject) -> Iterator[Found]:
    wanted: dict[str, str] = {}
    for path in ("config.json", "tokenizer_config.json"):
        config = subject.checkpoint.config if path == "config.json" else subject.settings(path)
        for reference in _code_references(config.get("auto_map")):
            wanted.setdefault(reference, path)
    for reference, path in wanted.items():
        repository, separator, name = reference.rpartition("--")
        file = f"{name.partition('.')[0]}.py"
        if separator:
            yield Found(
                f"{path} takes {name} from the repository {repository[:80]!r}, not from here",
                path,
                WARNING,
                fix="Copy that file here and name it without the repository.",
            )
        elif file not in subject.files:
            yield Found(f"{path} names {reference[:80]}, but {file[:80]} is not there", path)


def _code_references(auto_map: Any) -> list[str]:
    values = auto_map.values() if isinstance(auto_map, Mapping) else ()
    flat = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return [value for value in flat if isinstance(value, str)]


@check(
    "tokenizer-missing",
    ERROR,
    prevents="The server stops before it loads a weight: no tokenizer.",
    seen="quantizers and copies that take .safetensors and config.json only",
    fix="Copy the tokenizer from the base model (qreg lint --fix --base MODEL).",
    mendable=True,
)
def tokenizer_missing(subject: Subject) -> Iterator[Found]:
    names = {path for path in subject.files if "/" not in path}
    if not names.intersection(TOKENIZERS) and not any(n.endswith(".tiktoken") for n in names):
        yield Found("There is no tokenizer")


@check(
    "chat-template-missing",
    WARNING,
    prevents="/v1/chat/completions answers 400: no chat template.",
    seen="msmodelslim 26.1.0: v0 and mindie_format drop chat_template.jinja",
    fix="Copy it from the base model (qreg lint --fix --base MODEL); a model that was never made "
    "for chat needs none.",
    mendable=True,
)
def chat_template_missing(subject: Subject) -> Iterator[Found]:
    if subject.architecture.model_type in _OWN_PROMPTS or _has_template(subject):
        return
    yield Found("There is no chat template")


def _has_template(subject: Subject) -> bool:
    return (
        any("chat_template" in path for path in subject.files)
        or "chat_template" in subject.settings("tokenizer_config.json")
        or "tekken.json" in subject.files
    )


@check(
    "generation-config-missing",
    INFO,
    prevents="Sampling and stop tokens fall back to the engine's defaults: endless answers.",
    seen="quantizers that copy a fixed list of files",
    fix="Copy generation_config.json from the base model (qreg lint --fix --base MODEL).",
    mendable=True,
)
def generation_config_missing(subject: Subject) -> Iterator[Found]:
    if "generation_config.json" not in subject.files:
        yield Found("There is no generation_config.json")


CHECKS = (
    quantization_config_left,
    quantization_unexplained,
    mostly_float,
    architecture_unknown,
    architectures,
    remote_code_missing,
    tokenizer_missing,
    chat_template_missing,
    generation_config_missing,
)
