"""Flags that make it fast: speculation, graphs, the plugin's own configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from serving.plan import ARTIFACT, HARDWARE, RELEASE, Flag
from serving.rules.families import Said, family_says
from serving.rules.situation import Situation
from serving.wishes import DECODE, PREFILL

_MOST_SIZES = 8  # each captured size takes streams, of which there are about 2,000 (#9596)


def speculation(s: Situation) -> Iterator[Flag]:
    said = draft_of(s)
    if s.fit.speculative and said:
        settings = {
            "method": said.value["method"],
            "num_speculative_tokens": s.fit.speculative,
        }
        yield Flag(
            "--speculative-config",
            json.dumps(settings),
            f"its {s.facts.mtp_layers} MTP layer(s) draft tokens that the model accepts or not",
            ARTIFACT,
            evidence=said.source,
        )


def draft_of(s: Situation) -> Said | None:
    """What the family says of drafting with MTP layers, under a name that the release takes."""
    said = family_says(s.facts, "draft")
    if said is None or not s.facts.mtp_layers:
        return None
    if s.release is None or said.value["method"] in s.release.speculative_methods:
        return said
    for method in ("mtp", "deepseek_mtp"):
        if method in s.release.speculative_methods:
            return Said({**said.value, "method": method}, said.source)
    return None


def graphs(s: Situation) -> Iterator[Flag]:
    if s.wishes.role == PREFILL:
        reason = "prefill batches differ in shape each time, so that graphs would never be reused"
        yield Flag("--enforce-eager", None, reason, RELEASE)
        return
    settings = {
        "cudagraph_mode": "FULL_DECODE_ONLY",
        "cudagraph_capture_sizes": capture_sizes(s),
    }
    yield Flag(
        "--compilation-config",
        json.dumps(settings),
        "one graph a size of decode batches; few, as each takes streams of the device",
        RELEASE,
        evidence="vllm-project/vllm-ascend#9596; 134 of 154 decode launches do so",
    )


def capture_sizes(s: Situation) -> list[int]:
    """Batch sizes in tokens: powers of two of sequences, up to all of them, with their drafts."""
    tokens, sequences = 1 + s.fit.speculative, s.fit.max_num_seqs
    sizes = {sequences}
    size = 1
    while size < sequences:
        sizes.add(size)
        size *= 2
    # Where shared experts are data parallel some size must be a multiple of the ranks.
    sizes.add(-(-sequences // s.fit.layout.tensor) * s.fit.layout.tensor)
    chosen = sorted(sizes)
    while len(chosen) > _MOST_SIZES:
        chosen.pop(1)
    return [count * tokens for count in chosen]


def additional_config(s: Situation) -> Iterator[Flag]:
    settings: dict[str, Any] = {}
    reasons = []
    if s.on_310p and s.reads("ascend_compilation_config.enable_npugraph_ex"):
        settings["ascend_compilation_config"] = {"enable_npugraph_ex": False}
        reasons.append("310P has no kernels for npugraph_ex")
    if s.wishes.role == DECODE and s.reads("recompute_scheduler_enable"):
        settings["recompute_scheduler_enable"] = True
        reasons.append("a decode node sends sequences that it must drop back to prefill")
    shared = s.facts.architecture.shared_experts and s.fit.layout.experts
    overlap = "multistream_overlap_shared_expert"
    if shared and s.wishes.role != PREFILL and s.reads(overlap):
        settings[overlap] = True
        reasons.append("shared experts run beside the exchange of routed ones")
    if settings:
        source = HARDWARE if s.on_310p else RELEASE
        yield Flag("--additional-config", json.dumps(settings), "; ".join(reasons), source)
