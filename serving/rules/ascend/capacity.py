"""Flags that say how long and how many sequences can be, and what memory they have."""

from __future__ import annotations

from collections.abc import Iterator

from serving.plan import ARTIFACT, DEFAULT, HARDWARE, Flag
from serving.rules.situation import Situation
from serving.wishes import BATCHED_TOKENS, PREFILL


def context(s: Situation) -> Iterator[Flag]:
    longest, native = s.fit.max_model_len, s.facts.architecture.max_positions
    if not longest:
        return
    if s.fit.shortened and s.on_310p:
        reason = f"of {native:,} tokens as many as are usual on 310P, or as there is room for"
    elif s.fit.shortened:
        reason = f"cut from {native:,} tokens to what one sequence's KV cache has room for"
    elif native and longest > native:
        reason = f"more than config.json's {native:,} tokens, see --hf-overrides"
    elif native == longest:
        reason = f"all {native:,} positions that config.json allows"
    else:
        reason = "as asked; one such sequence has room"
    if s.on_310p:
        reason += "; 310P's attention mask grows with its square"
    yield Flag("--max-model-len", str(longest), reason, HARDWARE if s.fit.shortened else ARTIFACT)


def sequences(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "--max-num-seqs",
        str(s.fit.max_num_seqs),
        "sequences of usual length for which there is KV cache, in each replica",
        HARDWARE,
    )


def batched_tokens(s: Situation) -> Iterator[Flag]:
    usual = BATCHED_TOKENS[s.wishes.role == PREFILL]
    least = s.fit.max_num_seqs * (1 + s.fit.speculative)
    tokens = max(usual, least)
    if s.fit.max_model_len and not s.wishes.role:
        tokens = max(min(tokens, s.fit.max_model_len), least)
    yield Flag(
        "--max-num-batched-tokens",
        str(tokens),
        "tokens of a step: long prompts come in such pieces, and answers go on meanwhile",
        DEFAULT,
    )


def utilization(s: Situation) -> Iterator[Flag]:
    yield Flag(
        "--gpu-memory-utilization",
        f"{s.fit.utilization:g}",
        "the usual share; the rest is for what runs beside"
        if s.fit.utilization <= 0.9
        else "more than the usual 0.9, because the context would be short otherwise",
        HARDWARE,
    )
