"""Looking over what the user gave after `--`, and the user's environment."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from registry.finding import ERROR, WARNING, Finding
from serving.rules.families import family_says
from serving.rules.situation import Situation
from serving.wishes import PREFILL

_MTP = "mtp"


def check_flags(s: Situation) -> Iterator[Finding]:
    if s.release is None:
        return
    for flag in s.wishes.flags:
        option = s.release.option(flag.name)
        if option is None:
            near = get_close_matches(flag.name, s.release.options, 1, 0.75)
            yield Finding(
                "unknown-flag",
                ERROR,
                f"vLLM {s.release.vllm} has no flag {flag.name}",
                f"Did you mean {near[0]} ?" if near else "See `vllm serve --help=all`.",
                flag.name,
            )
        elif option.choices and flag.value not in (None, *map(str, option.choices)):
            yield Finding(
                "flag-value",
                ERROR,
                f"{flag.name} takes {', '.join(map(str, option.choices))}, not {flag.value}",
                "Choose one of these.",
                flag.name,
            )


def check_keys(s: Situation) -> Iterator[Finding]:
    given = s.wishes.table("--additional-config")
    if s.release is None or not given:
        return
    for key in s.release.unread_keys(given):
        near = get_close_matches(key, s.release.additional_config, 1, 0.6)
        yield Finding(
            "ignored-key",
            WARNING,
            f"Nothing in vLLM Ascend {s.release.number} reads {key} of --additional-config; it is "
            "ignored in silence",
            f"Did you mean {near[0]} ?" if near else "Leave it out.",
            "--additional-config",
        )


def check_variables(s: Situation) -> Iterator[Finding]:
    if s.release is None:
        return
    for name in sorted(s.wishes.environment):
        if s.release.ignores_variable(name):
            yield Finding(
                "ignored-variable",
                WARNING,
                f"Nothing in vLLM Ascend {s.release.number} or vLLM {s.release.vllm} reads {name}",
                "Unset it.",
                name,
            )


def check_conflicts(s: Situation) -> Iterator[Finding]:
    """Wishes that the artifact contradicts."""
    facts, wishes = s.facts, s.wishes
    method = wishes.given("--quantization")
    if method == "ascend" and facts.method == "compressed-tensors":
        yield Finding(
            "conflict",
            ERROR,
            "--quantization ascend reads ModelSlim's description, this artifact is "
            "compressed-tensors (#11019)",
            "Leave the flag out: the method stands in config.json.",
            "--quantization",
        )
    elif method is not None and method != "ascend" and facts.is_modelslim:
        yield Finding(
            "conflict",
            ERROR,
            f"--quantization {method} cannot read a ModelSlim artifact",
            "Leave the flag out: the plan says --quantization ascend .",
            "--quantization",
        )
    if wishes.given("--enable-expert-parallel") is not None and not facts.architecture.is_moe:
        yield Finding(
            "conflict",
            ERROR,
            f"{facts.name} has no experts, and --enable-expert-parallel stops the engine",
            "Leave it out.",
            "--enable-expert-parallel",
        )
    if wishes.given("--data-parallel-rank") is not None and not facts.architecture.is_moe:
        yield Finding(
            "conflict",
            ERROR,
            "--data-parallel-rank is for mixtures of experts; dense models do not take it",
            "Launch each replica by itself, with a load balancer in front.",
            "--data-parallel-rank",
        )
    speculative = wishes.table("--speculative-config") or {}
    drafts = str(speculative.get("method") or "")
    if drafts.endswith(_MTP) and not facts.mtp_layers:
        yield Finding(
            "conflict",
            ERROR,
            f"{facts.name} has no weights of MTP layers that {drafts} could draft with (#5794)",
            "Leave --speculative-config out, or take an artifact with its MTP layers.",
            "--speculative-config",
        )
    if drafts.endswith(_MTP) and s.fit.layout.pipeline > 1 and wishes.role != PREFILL:
        yield Finding(
            "conflict",
            ERROR,
            f"{drafts} cannot draft across {s.fit.layout.pipeline} stages of a pipeline",
            "Leave --speculative-config out, or use tensor and data parallelism alone.",
            "--speculative-config",
        )
    if wishes.given("--tool-call-parser") and not _allows_tools(s):
        yield Finding(
            "conflict",
            ERROR,
            "--tool-call-parser does nothing without --enable-auto-tool-choice",
            "Add it.",
            "--tool-call-parser",
        )


def _allows_tools(s: Situation) -> bool:
    given = s.wishes.given("--enable-auto-tool-choice") is not None
    return given or family_says(s.facts, "tool") is not None


def check_batch(s: Situation) -> Iterator[Finding]:
    tokens = s.wishes.number("--max-num-batched-tokens")
    if tokens is not None and tokens < s.fit.max_num_seqs:
        yield Finding(
            "batch",
            ERROR,
            f"A step of {tokens} tokens is too small for {s.fit.max_num_seqs} sequences",
            "Give --max-num-batched-tokens at least --max-num-seqs .",
            "--max-num-batched-tokens",
        )


CHECKS = (check_flags, check_keys, check_variables, check_conflicts, check_batch)
