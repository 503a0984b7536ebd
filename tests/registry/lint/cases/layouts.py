"""How scales and slices are laid out, and what the target's kernels take of it."""

from __future__ import annotations

from registry.lint import CHIPS, Target
from tests.lint_cases import (
    Change,
    Model,
    made,
    modelslim,
    moe,
    pack_experts,
    thinking,
)
from tests.registry.lint.cases.case import A3, Case
from tests.registry.lint.cases.changes import (
    describe,
    microscaled,
    requantize,
    store,
)

_Q = "model.layers.0.self_attn.q_proj"
_EXPERTS = r"\.experts\."
_SLICES = (
    store(f"{_Q}.tp_list.0.weight", "I8", 64, 32, kind="W8A8"),
    store(f"{_Q}.tp_list.1.weight", "I8", 64, 32, kind="W8A8"),
)


def _columns(scheme: str, columns: int) -> Change:
    """Every layer in a scheme of ModelSlim's, with so many scales a row."""

    def change(model: Model) -> None:
        assert model.description is not None
        model.description["group_size"] = 64 // columns if columns > 1 else 0
        for name, part in model.parts.items():
            if name != "lm_head":
                scale = ("F32", (part.shape[0], columns))
                tensors = {"weight": ("I8", part.shape), "weight_scale": scale}
                model.replace(name, {**tensors, "weight_offset": scale}, scheme)

    return change


def _one_scale(model: Model) -> None:
    """Static W8A8 as ModelSlim v0 writes it with mm_tensor: one scale for a whole matrix."""
    for name in [name for name in model.tensors if name.endswith(".deq_scale")]:
        model.tensors[name] = ("F32", (1,))


def _grouped(group: int) -> Change:
    """Experts in W4A8 with second scales a group."""

    def change(model: Model) -> None:
        assert model.description is not None
        model.description["group_size"] = group
        model.requantize(r"\.experts\.", "W4A8_DYNAMIC")
        for name, part in model.parts.items():
            if ".experts." in name:
                second = ("F32", (part.shape[0], max(1, part.shape[1] // group)))
                model.add(f"{name}.weight_scale_second", second, "W4A8_DYNAMIC")

    return change


def _ungrouped_description(model: Model) -> None:
    assert model.description is not None
    del model.description["group_size"]


def _wanted(ranks: int) -> Target:
    return Target(CHIPS["A3"], ranks)


CASES = {
    "group-size": [
        Case(
            "W4A8 with groups of 256",
            made(moe, _grouped(256)),
            made(moe, _grouped(128)),
            where="group_size: 256",
        ),
        Case(
            "groups that the description does not tell",
            made(moe, _grouped(64), _ungrouped_description),
            made(moe, _grouped(64)),
            where="group_size",
            says="then takes 256",
        ),
        Case(
            # w4a8.py divides by group_size for linear layers; for experts 0 stands for channels.
            "W4A8 per channel in linear layers",
            made(modelslim, requantize("_proj", "W4A8_DYNAMIC")),
            made(moe, requantize(_EXPERTS, "W4A8_DYNAMIC")),
            where=None,
            says="W4A8_DYNAMIC",
        ),
        Case(
            "MX types with groups of 64",
            made(modelslim, microscaled(64)),
            made(modelslim, microscaled(32)),
            where="group_size: 64",
        ),
        Case(
            "W8A8_DYNAMIC with scales a group",
            made(modelslim, _columns("W8A8_DYNAMIC", 4)),
            made(modelslim, _columns("W8A8_DYNAMIC", 1)),
            where=None,
            says="one a channel",
        ),
        Case(
            "W4A4_DYNAMIC with scales a group",
            made(modelslim, _columns("W4A4_DYNAMIC", 4)),
            made(modelslim, _columns("W4A4_DYNAMIC", 1)),
            where=None,
            says="one a channel",
        ),
        Case(
            "static W8A8 with one scale for a whole matrix",
            made(modelslim, _one_scale),
            made(modelslim),
            where=None,
            says="one a channel",
        ),
        Case(
            # w4a16.py asks quantization_config for a group_size of its own, which is never there.
            "W4A16 experts of compressed-tensors with groups that are not 32",
            made(thinking, pack_experts(16)),
            made(thinking),
            where=None,
            says="32",
            target=A3,
        ),
    ],
    "tensor-parallel-layout": [
        Case(
            "more ranks than it is made for",
            made(modelslim, describe(max_supported_tp=4)),
            made(modelslim, describe(max_supported_tp=4)),
            "error",
            None,
            "made for TP 4, the target has TP 8",
            target=_wanted(8),
            sound_target=_wanted(4),
        ),
        Case(
            "a bound, and no wish",
            made(modelslim, describe(max_supported_tp=4)),
            made(modelslim),
            "info",
            None,
            "up to 4",
        ),
        Case(
            # vLLM 0.23.0 looks for a parameter qkv_proj.tp_list.0.weight (qwen2.py): KeyError.
            "slices for MindIE's ranks",
            made(modelslim, *_SLICES),
            made(modelslim),
            "error",
            None,
            target=_wanted(2),
        ),
    ],
}
