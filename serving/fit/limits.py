"""What a layout must divide: heads, experts, groups. A violation stops the engine at its start."""

from __future__ import annotations

from collections.abc import Iterator

from registry.finding import ERROR, Finding
from serving.facts import ArtifactFacts
from serving.fit.fit import Layout
from serving.hardware import Hardware

SIZES = (1, 2, 4, 8, 16)  # of tensor parallel groups that NPUs are used with


def violations(facts: ArtifactFacts, layout: Layout, hardware: Hardware) -> Iterator[Finding]:
    """Why an engine would not start with a layout; nothing if it would."""
    yield from _heads(facts, layout)
    yield from _places(layout, hardware)
    bound = facts.tensor_parallel
    if bound and layout.tensor != bound:
        yield Finding(
            "layout-bound",
            ERROR,
            f"{facts.name} was saved for {bound} tensor parallel rank(s), not for {layout.tensor}",
            f"Serve it with -- --tensor-parallel-size {bound} , or save it anew for another size.",
        )
    group = facts.group_size
    inner = facts.architecture.moe_intermediate_size or facts.architecture.intermediate_size
    split = 1 if layout.experts else layout.tensor
    if group and inner and (inner // split) % group:
        yield _divides(f"{inner} columns in groups of {group}", "tensor parallel", layout.tensor)
    if layout.data > 1 and layout.pipeline > 1 and not facts.architecture.is_moe:
        yield Finding("parallel", ERROR, "A dense model takes data or pipeline parallelism alone")


def _heads(facts: ArtifactFacts, layout: Layout) -> Iterator[Finding]:
    a, ranks = facts.architecture, layout.tensor
    if a.heads and a.heads % ranks:
        yield _divides(f"{a.heads} attention heads", "tensor parallel", ranks)
    elif a.kv_heads and not a.kv_lora_rank and a.kv_heads % ranks and ranks % a.kv_heads:
        yield _divides(f"{a.kv_heads} KV heads", "tensor parallel", ranks)
    for key, what in (
        ("linear_num_key_heads", "key heads of linear attention"),
        ("linear_num_value_heads", "value heads of linear attention"),
        ("o_groups", "groups of the output projection"),
    ):
        number = facts.text_config.get(key)
        if type(number) is int and number % ranks and a.heads and not a.heads % ranks:
            yield _divides(f"{number} {what}", "tensor parallel", ranks)
    if layout.context > 1 and ranks % layout.context:
        yield _divides(f"{ranks} tensor parallel ranks", "decode context parallel", layout.context)


def _places(layout: Layout, hardware: Hardware) -> Iterator[Finding]:
    there = hardware.devices * layout.nodes
    if layout.devices > there:
        yield Finding(
            "devices",
            ERROR,
            f"{layout} needs {layout.devices} devices, {layout.nodes} × {hardware.name} "
            f"have {there}",
            f"Use --nodes {-(-layout.devices // hardware.devices)} , or fewer ranks.",
        )
    elif layout.tensor > hardware.devices:
        yield Finding(
            "devices",
            ERROR,
            f"{layout.tensor} tensor parallel ranks do not fit one node of {hardware.devices} "
            "devices, and across nodes they are too slow to be useful",
            f"Use at most {hardware.devices}, and data parallelism over nodes.",
        )


def _divides(what: str, kind: str, ranks: int) -> Finding:
    number = int(what.split()[0])
    fitting = [str(size) for size in SIZES if number % size == 0]
    return Finding(
        "divisibility",
        ERROR,
        f"{what} cannot be shared by {ranks} {kind} ranks",
        f"Nearest sizes that work: {', '.join(fitting)}.",
    )
