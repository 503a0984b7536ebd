"""The nearest changes with which an artifact that does not fit would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from registry.claims import CLAIMED, plain
from registry.config import Settings
from registry.errors import QregError
from registry.finding import Finding
from serving.engines import Engine
from serving.facts import ArtifactFacts, base_of
from serving.fit import Fit
from serving.hardware import Hardware
from serving.plan import Plan
from serving.releases import Release
from serving.wishes import Wishes

Fits = Callable[[Wishes], "Fit | None"]
_CAUSES = ("memory", "devices", "divisibility")
_NODES = (2, 3, 4, 6, 8, 16)
_CONTEXTS = (131072, 65536, 32768, 16384, 8192, 4096)


def nearest(
    plan: Plan,
    facts: ArtifactFacts,
    wishes: Wishes,
    engine: Engine,
    hardware: Hardware,
    release: Release | None,
    settings: Settings,
) -> Plan:
    """The plan, with what would fit told with the first error of space."""
    cause = next((finding for finding in plan.errors if finding.id in _CAUSES), None)
    if cause is None:
        return plan

    def fits(changed: Wishes) -> Fit | None:
        found = engine.fit(facts, hardware, changed, release)
        return None if found.findings else found

    changes = list(_siblings(facts, settings))
    if fits(wishes) is None:  # an engine that spreads models, and tells where it cannot
        share = list(_larger_share(wishes, fits))
        changes = [
            *share,
            *_other_sizes(wishes, fits),
            *_shorter(wishes, facts, fits),
            # Nobody needs machines for a share that they chose themselves.
            *(() if share else _more_nodes(wishes, fits)),
            *changes,
        ]
    if not changes:
        return plan
    fix = "What would fit: " + "; ".join(changes) + "."
    told = Finding(cause.id, cause.severity, cause.message, fix, cause.where)
    return replace(plan, findings=tuple(told if f is cause else f for f in plan.findings))


def _without(wishes: Wishes, *names: str) -> Wishes:
    """The wishes without some of the engine's arguments."""
    words = [word for flag in wishes.flags if flag.name not in names for word in flag.argv()]
    return replace(wishes, arguments=tuple(words))


def _with_length(wishes: Wishes, length: int) -> Wishes:
    bare = _without(wishes, "--max-model-len")
    return replace(bare, arguments=(*bare.arguments, "--max-model-len", str(length)))


def _larger_share(wishes: Wishes, fits: Fits) -> Iterator[str]:
    """The engine's usual share, where nothing but the user's smaller one is in the way."""
    name = "--gpu-memory-utilization"
    asked = wishes.share(name)
    if asked is None:
        return
    found = fits(_without(wishes, name))
    if found is not None and found.utilization > asked:
        yield (
            f"-- {name} {found.utilization:g} ({found.layout}); it is the {asked:g} that you gave "
            "which leaves too little of each device"
        )


def _other_sizes(wishes: Wishes, fits: Fits) -> Iterator[str]:
    names = ("--tensor-parallel-size", "--data-parallel-size", "--pipeline-parallel-size")
    if any(wishes.given(name) is not None for name in names):
        found = fits(_without(wishes, *names))
        if found is not None:
            yield f"{found.layout} instead"


def _shorter(wishes: Wishes, facts: ArtifactFacts, fits: Fits) -> Iterator[str]:
    asked = wishes.number("--max-model-len")
    for length in _CONTEXTS:
        if asked and length < asked and fits(_with_length(wishes, length)) is not None:
            yield f"a context of {length:,} tokens (-- --max-model-len {length})"
            return


def _more_nodes(wishes: Wishes, fits: Fits) -> Iterator[str]:
    for nodes in _NODES:
        if nodes > wishes.nodes:
            found = fits(replace(wishes, nodes=nodes))
            if found is not None:
                length = f", {found.max_model_len:,} tokens" if found.max_model_len else ""
                yield f"--nodes {nodes} ({found.layout}{length})"
                return


def _siblings(facts: ArtifactFacts, settings: Settings) -> Iterator[str]:
    """Smaller artifacts of the same base in the registry."""
    from registry.stores import open_store

    if settings.offline and not settings.registry.startswith("file://"):
        return
    store = open_store(settings.registry)
    if not facts.base or not store.exists:
        return
    for name in store.names():
        try:
            manifest = store.snapshot(name).manifest
        except QregError:
            continue
        weights = manifest.footprint.get("weights", 0)
        if not isinstance(weights, int):
            continue
        if base_of(manifest) == facts.base and 0 < weights < facts.weight_bytes:
            scheme = plain(manifest.quantization.get("scheme"))
            yield f"{name} of the same base, {CLAIMED} ({scheme}, {weights / 2**30:.0f} GiB)"
