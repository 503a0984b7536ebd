"""Checks of config.json and of the files beside the weights that serving needs."""

from __future__ import annotations

from collections.abc import Iterator

from registry.checkpoint.quantization.layers import FLOAT, UNKNOWN
from registry.finding import ERROR, INFO, WARNING
from registry.lint.check import ASCEND, Found, check, some
from registry.lint.subject import Subject

TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json", "spiece.model",
    "tekken.json", "sentencepiece.bpe.model", "vocab.txt",
)  # fmt: skip
# Keys of other methods' settings, by which loaders know those that name none.
_FOREIGN = (
    "load_in_4bit", "load_in_8bit", "bits", "q_group_size", "weight_block_size", "fmt",
    "config_groups", "quant_algo",
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
    method = config.get("quant_method")
    if not subject.is_modelslim or method == "ascend":
        return
    if method is not None:
        text = f"config.json still has the quantization_config of {str(method)[:40]}"
        yield Found(text, "config.json")
    # MindIE's format puts a section of its own there, which names no method. vLLM Ascend takes any
    # that names none for its own; others, such as transformers, guess by such keys.
    elif foreign := [key for key in _FOREIGN if config.get(key)]:
        text = f"config.json still has a quantization_config with {foreign[0]}, of another method"
        yield Found(text, "config.json", WARNING)


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
    "tokenizer-missing",
    ERROR,
    prevents="The server stops before it loads a weight: no tokenizer.",
    seen="quantizers and copies that take .safetensors and config.json only",
    fix="Copy the tokenizer from the base model (qreg lint --fix --base MODEL).",
    mendable=True,
)
def tokenizer_missing(subject: Subject) -> Iterator[Found]:
    names = {path for path in subject.files if "/" not in path}
    found = names.intersection(TOKENIZERS)
    if any(name.endswith(".tiktoken") for name in names):
        return
    if not found:
        yield Found("There is no tokenizer")
    # A tokenizer of the model's own code may do with less.
    elif found == {"vocab.json"} and "merges.txt" not in names and not _has_own_tokenizer(subject):
        text = "vocab.json is half a tokenizer; there is neither merges.txt nor tokenizer.json"
        yield Found(text, "vocab.json")


def _has_own_tokenizer(subject: Subject) -> bool:
    sections = (subject.settings("tokenizer_config.json"), subject.checkpoint.config)
    maps = [section.get("auto_map") for section in sections]
    return any("AutoTokenizer" in auto_map for auto_map in maps if isinstance(auto_map, dict))


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
    tokenizer_missing,
    chat_template_missing,
    generation_config_missing,
)
