"""What forbids a launch on NPUs, or should be known before it."""

from __future__ import annotations

from collections.abc import Iterator

from registry.finding import ERROR, WARNING, Finding
from serving.releases import Release, known, open_release
from serving.rules.families import family_says
from serving.rules.situation import Situation

_KINDS = {"moe": "moe", "kv_cache": "attention", "flash_attention": "attention",
          "indexer": "attention"}  # fmt: skip
_UNQUANTIZED = ("FLOAT", "UNKNOWN")
_GROUPS = (64, 128)
_MODELSLIM_ONLY = ("none", "modelslim")
_WORDS = {"linear": "linear layers", "moe": "routed experts", "attention": "attention and KV cache"}


def check_method(s: Situation) -> Iterator[Finding]:
    method, release = s.facts.method, s.release
    if release is None:
        return
    if method == "modelslim":
        if "ascend" not in release.methods(s.hardware.chip):
            yield Finding(
                "release-too-old",
                ERROR,
                f"vLLM Ascend {release.number} does not know --quantization ascend",
                "Use a newer release: --release " + known()[-1] + " .",
            )
    elif method == "compressed-tensors" and s.on_310p:
        yield Finding(
            "method",
            ERROR,
            "310P runs ModelSlim artifacts only, this one is compressed-tensors",
            "Convert it with qreg convert --format modelslim , or serve it on A2 or A3.",
        )
    elif method not in ("none", "compressed-tensors"):
        fp8 = "fp8" in method
        if fp8 and s.hardware.chip == "950":
            return
        yield Finding(
            "method",
            ERROR,
            f"vLLM Ascend cannot run {method} weights on {s.hardware.chip}"
            + (": only the 950 computes with FP8" if fp8 else ""),
            "Quantize the float model with ModelSlim or LLM-Compressor (qreg quantize), or take an "
            "artifact that was.",
        )


def check_schemes(s: Situation) -> Iterator[Finding]:
    """Every scheme of every kind of layer has a kernel in the release, on the chip."""
    release, chip = s.release, s.hardware.chip
    if release is None or s.facts.method not in ("modelslim", "compressed-tensors"):
        return
    if s.facts.method == "compressed-tensors" and s.on_310p:
        return  # said by check_method
    missing: dict[tuple[str, str], int] = {}
    for part, counts in s.facts.schemes.items():
        kind = _KINDS.get(part, "linear")
        for scheme, count in counts.items():
            kinds = ("linear", "moe") if part == "mtp" else (kind,)
            sound = any(_runs(release, k, chip, s.facts.method, scheme) for k in kinds)
            if scheme not in _UNQUANTIZED and not sound:
                missing[kind, scheme] = missing.get((kind, scheme), 0) + count
    for (kind, scheme), count in missing.items():
        yield Finding(
            "scheme",
            ERROR,
            f"vLLM Ascend {release.number} has no kernel for {scheme} {_WORDS[kind]} on {chip} "
            f"({count:,} of them here)",
            _elsewhere(release, kind, scheme, s.facts.method),
        )


def _runs(release: Release, kind: str, chip: str, method: str, scheme: str) -> bool:
    if kind == "attention" and method == "compressed-tensors":
        return False
    return scheme in release.schemes(kind, chip, method)


def _elsewhere(release: Release, kind: str, scheme: str, method: str) -> str:
    chips = release.devices_with(kind, scheme, method)
    if chips:
        return f"{', '.join(chips)} can run it."
    later = [n for n in known() if open_release(n).devices_with(kind, scheme, method)]
    if later:
        return f"Releases that can run it: {', '.join(later)}."
    if kind == "moe" and scheme == "W8A8":
        return "Quantize experts with W8A8_DYNAMIC: static W8A8 never had kernels for experts."
    return "Quantize with another recipe; `qreg hardware` shows what each chip can run."


def check_groups(s: Situation) -> Iterator[Finding]:
    group = s.facts.group_size
    if s.facts.is_modelslim and group and s.facts.has_scheme("W4A8_DYNAMIC"):
        if group not in _GROUPS and group != 256:
            message = f"W4A8 kernels take groups of 64 or 128, not {group}"
            yield Finding("group-size", ERROR, message, "Quantize with groups of 64 or 128.")
        elif group == 256:
            yield Finding(
                "group-size",
                WARNING,
                "W4A8 with groups of 256 gives wrong results with weights in NZ layout (#5603)",
                "Quantize with groups of 64 or 128.",
            )


def check_packed(s: Situation) -> Iterator[Finding]:
    """Experts of ModelSlim artifacts load for model types of the plugin's table only."""
    a, release = s.facts.architecture, s.release
    quantized = any(x not in _UNQUANTIZED for x in s.facts.schemes.get("moe", {}))
    if release is None or not s.facts.is_modelslim or not quantized:
        return
    types = {a.model_type, s.facts.text_config.get("model_type")}
    if not any("experts" in row for kind, row in release.packed.items() if kind in types):
        yield Finding(
            "model-type",
            ERROR,
            f"vLLM Ascend {release.number} cannot load ModelSlim's experts of {a.model_type}",
            "Use a release that knows the type, or a compressed-tensors artifact.",
        )


def check_float16(s: Situation) -> Iterator[Finding]:
    given = s.wishes.given("--dtype")
    eight = s.facts.has_scheme("W8A8", "W8A8_DYNAMIC", "W8A8_MIX")
    if given in ("float16", "half") and not s.on_310p and eight:
        yield Finding(
            "dtype",
            ERROR,
            f"W8A8 with float16 breaks on {s.hardware.chip} (#12907)",
            "Leave --dtype out, or give bfloat16.",
        )
    if s.on_310p and given not in (None, "float16", "half"):
        yield Finding("dtype", ERROR, f"310P cannot compute in {given}", "Give --dtype float16 .")


def check_parsers(s: Situation) -> Iterator[Finding]:
    """What the family needs and the release has not."""
    if s.release is None:
        return
    for key, names, what in (
        ("reasoning", s.release.parsers.reasoning, "reasoning parser"),
        ("tool", s.release.parsers.tool, "tool parser"),
        ("tokenizer", s.release.tokenizer_modes, "tokenizer mode"),
    ):
        said = family_says(s.facts, key)
        if said and said.value not in names:
            yield Finding(
                "parser",
                ERROR if key == "tokenizer" else WARNING,
                f"vLLM {s.release.vllm} has no {what} {said.value}, which this model needs",
                f"Use a newer release, as --release {known()[-1]} .",
            )


def check_remote_code(s: Situation) -> Iterator[Finding]:
    a = s.facts.architecture
    if a.remote_code and not s.wishes.trust_remote_code:
        needed = family_says(s.facts, "code") is not None
        yield Finding(
            "remote-code",
            WARNING,
            f"{s.facts.name} brings Python code of its own (auto_map in config.json)"
            + (", which the engine needs to read it" if needed else ""),
            "Read the code, then add --trust-remote-code ."
            if needed
            else "The engine knows the model by itself; the code is not run.",
        )


def check_nodes(s: Situation) -> Iterator[Finding]:
    layout = s.fit.layout
    if layout.nodes > 1 and layout.devices <= s.hardware.devices:
        yield Finding(
            "nodes",
            WARNING,
            f"{layout.nodes} nodes were offered, one is enough: {layout} fits it",
            "Without --nodes it waits for no network; or launch it on each node by itself, with a "
            "load balancer in front.",
        )
    if layout.nodes > 1 and not s.wishes.address:
        yield Finding(
            "address",
            WARNING,
            "The first node's address is not known yet",
            "Give it with --address , or set FIRST_NODE_ADDRESS where the script runs.",
        )


def check_stages(s: Situation) -> Iterator[Finding]:
    layout = s.fit.layout
    if layout.nodes > 1 and layout.pipeline > 1 and not s.knows("--nnodes"):
        yield Finding(
            "stages",
            ERROR,
            "This release of vLLM has no --nnodes: it spreads the stages of a pipeline over nodes "
            "with Ray alone, and qreg starts no Ray cluster",
            "Plan for a newer release: --release 0.13.0 or above; or for data parallel replicas: "
            "-- --data-parallel-size N .",
        )


def check_pairs(s: Situation) -> Iterator[Finding]:
    """A split deployment: heads must be shared out the same way on both sides."""
    peer, a = s.wishes.peer, s.facts.architecture
    if not s.wishes.role or peer is None or a.kv_lora_rank:
        return
    own = s.fit.layout.tensor
    prefill, decode = (own, peer[0]) if s.wishes.role == "prefill" else (peer[0], own)
    if prefill % decode:
        yield Finding(
            "peer",
            ERROR,
            f"{prefill} tensor parallel ranks of prefill cannot feed {decode} of decode",
            "Without MLA the ranks of prefill must be a multiple of those of decode.",
        )
