"""Flags that follow from what the artifact is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from serving.plan import ARTIFACT, FAMILY, HARDWARE, RELEASE, Flag
from serving.rules.families import family_says, stretch_of
from serving.rules.situation import Situation

_EIGHT_BITS = ("W8A8", "W8A8_DYNAMIC", "W8A8_MIX")


def quantization(s: Situation) -> Iterator[Flag]:
    if s.facts.is_modelslim:
        yield Flag(
            "--quantization",
            "ascend",
            "ModelSlim's description lies beside the weights; without the flag they load as floats",
            ARTIFACT,
            evidence="vllm-project/vllm-ascend#883; 529 of 559 launches of ModelSlim artifacts set "
            "it, the others rely on detection, which some releases lack and MTP drafts never have",
        )


def dtype(s: Situation) -> Iterator[Flag]:
    given = s.facts.architecture.dtype
    if s.on_310p:
        reason = "310P computes in float16 and has no bfloat16"
        yield Flag("--dtype", "float16", reason, HARDWARE)
    elif given == "float16" and s.facts.has_scheme(*_EIGHT_BITS):
        yield Flag(
            "--dtype",
            "bfloat16",
            "config.json says float16, with which W8A8 kernels of A2 and A3 fail",
            HARDWARE,
            evidence="vllm-project/vllm-ascend#12907",
        )
    elif given:
        reason = "the type that config.json gives for what is not quantized"
        yield Flag("--dtype", given, reason, ARTIFACT)


def load_format(s: Situation) -> Iterator[Flag]:
    if s.facts.has_scheme("W8A8SC"):
        yield Flag(
            "--load-format",
            "sharded_state",
            f"W8A8SC weights are compressed for {s.facts.tensor_parallel or 1} rank(s), in the "
            "engine's own layout",
            ARTIFACT,
        )


def tokenizer_mode(s: Situation) -> Iterator[Flag]:
    said = family_says(s.facts, "tokenizer")
    if said and (s.release is None or said.value in s.release.tokenizer_modes):
        reason = "its chat format is code of the engine's, not a template"
        yield Flag("--tokenizer-mode", said.value, reason, FAMILY, evidence=said.source)


def parsers(s: Situation) -> Iterator[Flag]:
    reasoning, tool = family_says(s.facts, "reasoning"), family_says(s.facts, "tool")
    known = s.release.parsers if s.release else None
    if reasoning and (known is None or reasoning.value in known.reasoning):
        reason, where = "splits its thoughts from its answers", reasoning.source
        yield Flag("--reasoning-parser", reasoning.value, reason, FAMILY, evidence=where)
    if tool and (known is None or tool.value in known.tool):
        reason = "lets the model call tools by itself"
        yield Flag("--enable-auto-tool-choice", None, reason, FAMILY)
        reason = "reads the calls in the model's answers"
        yield Flag("--tool-call-parser", tool.value, reason, FAMILY, evidence=tool.source)


def block_size(s: Situation) -> Iterator[Flag]:
    said = family_says(s.facts, "block")
    if said:
        reason = "its compressed attention works in such blocks"
        yield Flag("--block-size", str(said.value), reason, FAMILY, evidence=said.source)


def overrides(s: Situation) -> Iterator[Flag]:
    """What config.json should say instead: no left-over method, and RoPE for longer contexts."""
    changes: dict[str, Any] = {}
    reasons = []
    if s.facts.left_over:
        changes["quantization_config"] = None
        reasons.append(
            f"config.json still says {s.facts.left_over}, which would win over ModelSlim's types"
        )
    scaling = rope_scaling(s)
    if scaling:
        changes.update(scaling)
        longest = s.fit.max_model_len or 0
        reasons.append(f"YaRN, as its authors say, for {longest:,} tokens")
    if changes:
        source = ARTIFACT if s.facts.left_over else FAMILY
        evidence = "vllm-project/vllm-ascend#1997, #1270" if s.facts.left_over else ""
        text = "; ".join(reasons)
        yield Flag("--hf-overrides", json.dumps(changes), text, source, evidence=evidence)


def rope_scaling(s: Situation) -> dict[str, Any]:
    """The override that stretches positions; empty where they are not stretched."""
    native, longest = s.facts.architecture.max_positions, s.fit.max_model_len
    stretch = stretch_of(s.facts)
    if not native or not longest or longest <= native or not stretch:
        return {}
    original = stretch.trained
    scaling: dict[str, Any] = {
        "rope_type": "yarn",
        "factor": float(-(-longest // original)),
        "original_max_position_embeddings": original,
    }
    # transformers 5, with which 0.18 and later come, keeps theta beside it.
    key = "rope_parameters"
    if s.release is not None and s.release.number < "0.13":
        key = "rope_scaling"
    elif s.facts.architecture.rope_theta:
        scaling["rope_theta"] = s.facts.architecture.rope_theta
    nested = "text_config" in s.facts.config
    return {"text_config": {key: scaling}} if nested else {key: scaling}


def multimodal(s: Situation) -> Iterator[Flag]:
    if s.facts.architecture.vision and s.fit.layout.tensor > 1 and s.knows("--mm-encoder-tp-mode"):
        yield Flag(
            "--mm-encoder-tp-mode",
            "data",
            "the vision tower is small: whole images per rank are faster than split layers",
            RELEASE,
        )


def mamba_cache(s: Situation) -> Iterator[Flag]:
    linear = "linear_attention" in s.facts.architecture.layer_types
    if s.on_310p and linear and s.knows("--mamba-ssm-cache-dtype"):
        reason = "310P's kernels of linear attention keep their state in float16"
        yield Flag("--mamba-ssm-cache-dtype", "float16", reason, HARDWARE)
