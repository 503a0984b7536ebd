"""Fitting an artifact on NPUs and GPUs: weights, KV cache and overhead on each device.

The rule is the one that all 358 measurable deployments of vLLM Ascend's own tests satisfy: weights,
the KV cache of one sequence of the longest context and the overhead are at most the utilization
times the memory that torch sees. The overhead is the engine's (`serving.fit.usual`), or what
launches on record had (`serving.fit.overhead`), and twice HCCL's buffer where experts exchange
tokens; on 310P there is the attention mask besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from registry.checkpoint.outline import Kind
from registry.finding import ERROR, Finding
from serving.facts import ArtifactFacts
from serving.fit.cache import cache_of
from serving.fit.communication import hccl_buffer
from serving.fit.cpu import GIB
from serving.fit.fit import Fit, Layout
from serving.fit.goal import best_of
from serving.fit.limits import SIZES, violations
from serving.fit.overhead import overhead_of
from serving.fit.usual import usual_overhead
from serving.fit.weights import weights_per_device
from serving.hardware import Hardware
from serving.plan import Memory
from serving.wishes import BATCHED_TOKENS, CONTEXT, PREFILL, THROUGHPUT, Wishes

_MIB = 2**20
_USUAL_UTILIZATION, _MOST_UTILIZATION = 0.9, 0.95
# A context below this is no use to anyone who did not ask for it.
_SHORTEST = 4096
# What a sequence has on average, when the number of sequences is chosen.
_TYPICAL = 8192
_MOST_SEQUENCES = {THROUGHPUT: 256, CONTEXT: 16}
_FEW_SEQUENCES = 64
_SEQUENCES = (256, 128, 64, 32, 16)
_STEP = 1024  # tokens that contexts are cut to


@dataclass(frozen=True)
class Request:
    """What is asked of the fit.

    Attributes:
        facts: of the artifact.
        hardware: of one node.
        wishes: of the user.
        most_positions: tokens that the model can be made to take.
        speculative: tokens that MTP layers would draft at once; 0 without.
        halved: whether the KV cache has only half of its room, as on 310P.
        mask: bytes of the attention mask for each token and each other one; 0 where it is of one
            size.
        usual_positions: tokens that are enough where the user asks for no more; None for all.
        experts: whether the engine spreads experts there.
    """

    facts: ArtifactFacts
    hardware: Hardware
    wishes: Wishes
    most_positions: int | None
    speculative: int = 0
    halved: bool = False
    mask: int = 0
    usual_positions: int | None = None
    experts: bool = True

    @property
    def cap(self) -> int | None:
        """Tokens beyond which no context is tried."""
        asked = self.wishes.number("--max-model-len")
        if asked or not self.usual_positions or self.wishes.goal == CONTEXT:
            return asked or self.most_positions
        return min(self.usual_positions, self.most_positions or self.usual_positions)


def fit_devices(request: Request) -> Fit:
    """Find the best layout, context and number of sequences; or the nearest that does not fit."""
    wishes = request.wishes
    given = wishes.share("--gpu-memory-utilization")
    shares = [given] if given else [_USUAL_UTILIZATION, _MOST_UTILIZATION]
    drafts = [request.speculative, 0] if request.speculative else [0]
    tried: list[Fit] = []
    for speculative in drafts:
        for share in shares:
            asked = replace(request, speculative=speculative)
            found = [_evaluate(asked, layout, share) for layout in _layouts(asked)]
            tried += found
            good = [fit for fit in found if not fit.findings]
            if good:
                best = _chosen(good, asked)
                # A little more memory is taken only if the usual share is too short for the model.
                if share == _USUAL_UTILIZATION and best.shortened and not given:
                    continue
                return best
    good = [fit for fit in tried if not fit.findings]
    if good:
        return _chosen(good, request)
    return max(tried, key=lambda fit: (-len(fit.findings), fit.memory.free))


def _layouts(request: Request) -> Iterator[Layout]:
    """What can be tried: the user's sizes, or all that use the devices well."""
    wishes, hardware, facts = request.wishes, request.hardware, request.facts
    nodes, moe = wishes.nodes, facts.architecture.is_moe
    tensor = wishes.number("--tensor-parallel-size")
    data = wishes.number("--data-parallel-size")
    pipeline = wishes.number("--pipeline-parallel-size")
    context = wishes.number("--decode-context-parallel-size") or 1
    prefill = wishes.number("--prefill-context-parallel-size") or 1
    spread = moe and request.experts and wishes.given("--no-enable-expert-parallel") is None
    there = hardware.devices * nodes // prefill

    def layout(tp: int, dp: int, pp: int) -> Layout:
        return Layout(tp, dp, pp, nodes, spread and tp * dp * prefill > 1, context, prefill)

    if tensor or data or pipeline:
        chosen = [tensor] if tensor else _sizes(there // ((data or 1) * (pipeline or 1)), request)
        for tp in chosen:
            rest = max(1, there // (tp * (pipeline or 1))) if spread and not data else 1
            yield layout(tp, data or rest, pipeline or 1)
        return
    if facts.tensor_parallel:
        yield layout(facts.tensor_parallel, 1, 1)
        return
    for devices in _counts(request):
        for tp in _sizes(min(devices, hardware.devices), request):
            if spread or devices == tp or wishes.goal == THROUGHPUT:
                yield layout(tp, devices // tp, 1)
    if nodes > 1 and not spread:
        for tp in _sizes(hardware.devices, request):
            yield layout(tp, 1, nodes)


def _counts(request: Request) -> list[int]:
    """Numbers of devices to use: all of them for large models, a power of two up to it else."""
    there = request.hardware.devices * request.wishes.nodes
    large = request.facts.weight_bytes > request.hardware.memory
    if request.facts.architecture.is_moe and request.experts and large:
        return [there]
    if request.wishes.nodes > 1 or request.wishes.goal == THROUGHPUT:
        return [there]
    return [size for size in SIZES if size <= there]


def _sizes(most: int, request: Request) -> list[int]:
    found = [size for size in SIZES if size <= max(1, most)]
    heads = request.facts.architecture.heads
    return [size for size in found if not heads or heads % size == 0] or [1]


def _evaluate(request: Request, layout: Layout, share: float) -> Fit:
    """Fit a layout, with as many sequences as leave the context its room.

    HCCL's buffers grow with the sequences that are decoded at once, so that fewer are tried too.
    """
    given = request.wishes.number("--max-num-seqs")
    most = _MOST_SEQUENCES.get(request.wishes.goal, _FEW_SEQUENCES)
    tried = [given] if given else [size for size in _SEQUENCES if size <= most]
    fits = [_evaluate_with(request, layout, share, size) for size in tried]
    return max(fits, key=lambda f: (not f.findings, f.max_model_len or 0, f.max_num_seqs))


def _evaluate_with(request: Request, layout: Layout, share: float, sequences: int) -> Fit:
    facts, wishes = request.facts, request.wishes
    a, hardware = facts.architecture, request.hardware
    if layout.pipeline > 1 and wishes.role != PREFILL:
        # "PP+MTP is only supported on PD-disaggregated P nodes" (vLLM Ascend 0.23, platform.py)
        request = replace(request, speculative=0)
    parts = _weights(request, layout)
    weights = sum(parts.values())
    drafting = bool(request.speculative)
    cache = cache_of(a, facts.text_config, layout, drafting=drafting)
    usable = int(hardware.memory * share)
    asked, seqs = wishes.number("--max-model-len"), wishes.number("--max-num-seqs")
    most = request.most_positions
    told = overhead_of(
        wishes,
        weights,
        most,
        _usual(request, layout, sequences),
        sequences=sequences,
        ranks=(layout.tensor, layout.data, layout.pipeline),
    )
    computed = _buffers(request, layout, sequences)
    overhead = told.bytes + computed
    room = usable - weights - overhead
    problems = list(violations(facts, layout, hardware))
    if asked and most and asked > most:
        problems.append(_too_long(facts, asked, most))
    kept = 2 if request.halved else 1

    def needed(tokens: int) -> int:
        return (cache.bytes(tokens) * kept if cache else 0) + request.mask * tokens**2

    length = _longest(needed, room, request.cap) if cache else request.cap
    least = asked or min(_SHORTEST, most or _SHORTEST)
    if length is not None and length < least:
        masked = overhead + request.mask * least**2
        space = needed(least) - request.mask * least**2
        problems.append(_too_small(facts, hardware, layout, weights, space, masked, usable))
        length = least
        room = needed(least)
    elif room < 0:
        problems.append(_too_small(facts, hardware, layout, weights, GIB, overhead, usable))
        room = GIB
    mask = request.mask * (length or 0) ** 2
    overhead, computed, room = overhead + mask, computed + mask, room - mask
    if cache and length and not seqs:
        typical = max(1, cache.bytes(min(length, _TYPICAL)))
        sequences = max(1, min(sequences, room // kept // typical))
    one = cache.bytes(length) * kept if cache and length else 0
    tokens = int(max(0, room) * length / one) if one and length else None
    memory = Memory(
        hardware.memory, weights, max(0, room), overhead, parts, computed, tokens, told.source
    )
    shortened = bool(length and most and not asked and length < most)
    return Fit(
        memory, length, sequences, shortened, layout, share, request.speculative,
        findings=tuple(problems),
    )  # fmt: skip


def _weights(request: Request, layout: Layout) -> dict[str, int]:
    facts = request.facts
    kinds = facts.kinds or (Kind("", "other", "", "", 1, facts.weight_bytes),)
    if facts.tensor_parallel and layout.tensor == facts.tensor_parallel:
        layout = Layout()  # an engine's own layout holds one rank's tensors
    drafting = bool(request.speculative)
    return dict(weights_per_device(kinds, facts.architecture, layout, drafting=drafting))


def _usual(request: Request, layout: Layout, sequences: int) -> int:
    """Bytes beside weights and KV cache, with as many tokens a step as the plan will say."""
    wishes = request.wishes
    usual = BATCHED_TOKENS[wishes.role == PREFILL]
    tokens = wishes.number("--max-num-batched-tokens") or max(
        usual, sequences * (1 + request.speculative)
    )
    a = request.facts.architecture
    return usual_overhead(a, request.hardware, layout, sequences=sequences, tokens=tokens)


def _buffers(request: Request, layout: Layout, sequences: int) -> int:
    """Bytes of HCCL's two buffers where experts exchange tokens."""
    if request.hardware.kind != "npu" or layout.expert_ranks == 1 or not layout.experts:
        return 0
    own = request.wishes.environment.get("HCCL_BUFFSIZE", "")
    if own.isdigit():
        return 2 * int(own) * _MIB
    a, decoding = request.facts.architecture, request.wishes.role != PREFILL
    size = hccl_buffer(a, layout, sequences if decoding else 1, request.speculative)
    return 2 * size * _MIB


def _longest(needed: Callable[[int], int], room: int, most: int | None) -> int | None:
    """Tokens of the longest sequence that fits, in whole steps; `most` if that fits.

    Args:
        needed: bytes that so many tokens take.
        room: bytes that are there.
        most: that the model takes; None where it is not said.
    """
    if needed(_STEP) <= 0:
        return most  # takes no memory that grows
    if most and needed(most) <= room:
        return most
    low, high = 0, (most or 2**30) // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needed(middle * _STEP) <= room else (low, middle - 1)
    return low * _STEP


def _chosen(fits: list[Fit], request: Request) -> Fit:
    a, goal = request.facts.architecture, request.wishes.goal
    return best_of(fits, a, goal, spread=request.experts)


def _too_long(facts: ArtifactFacts, asked: int, most: int) -> Finding:
    return Finding(
        "context",
        ERROR,
        f"A context of {asked:,} tokens is beyond what {facts.name} can take ({most:,})",
        f"Ask for at most {most}, or give the RoPE scaling that it was trained with in "
        "-- --hf-overrides .",
    )


def _too_small(
    facts: ArtifactFacts,
    hardware: Hardware,
    layout: Layout,
    weights: int,
    cache: int,
    overhead: int,
    usable: int,
) -> Finding:
    missing = weights + cache + overhead - usable
    return Finding(
        "memory",
        ERROR,
        f"{facts.name} with {layout} needs {_gib(weights + cache + overhead)} GiB on each device "
        f"of {hardware.name}: {_gib(weights)} weights, {_gib(cache)} KV cache, {_gib(overhead)} "
        f"overhead; {_gib(usable)} GiB are usable, {_gib(missing)} GiB are missing",
        "Use more devices, a shorter context, or an artifact with fewer bits.",
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
