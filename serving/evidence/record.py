"""What is kept of a launch: a line when it was ready or failed, a line for its smoke request.

Both bear the launch's identity. They lie in the data folder under the artifact's digest, and MLflow
gets them for the run that made the artifact and for its model version (`registry.tracking`).
Keeping evidence never fails a launch.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from registry.artifact import Digest
from registry.clock import utc_now
from registry.config import Settings
from registry.errors import QregError
from registry.evidence import record_evidence
from registry.progress import Note, Observer, ignore
from registry.urls import without_credentials
from serving.evidence.engine_log import EngineFigures
from serving.evidence.memory import DeviceMemory
from serving.plan import Plan
from toolchains.environment import is_secret

LAUNCH, SMOKE = "launch", "smoke"
READY, PASSED, FAILED = "ready", "passed", "failed"
# What names a place of this machine and decides nothing.
PLACES = frozenset(
    {
        "--host", "--port", "--model", "--served-model-name", "--data-parallel-address",
        "--master-addr", "VLLM_HOST_IP", "HCCL_IF_IP", "HCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME",
        "TP_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME",
    }
)  # fmt: skip
_HOME = re.compile(r"/(?:home|Users|root)(?:/[^\s'\",;:)]*)?")


@dataclass(frozen=True)
class Launch:
    """One launch of a plan, as far as it came.

    Attributes:
        identity: its own.
        plan: what was launched.
        figures: what the engine's log showed.
        memory: what the devices hold; empty where it was not asked or is not known.
        seconds: from the start to ready, or to its failure.
        node: number of the node that saw it, from 0.
    """

    identity: str
    plan: Plan
    figures: EngineFigures
    memory: tuple[DeviceMemory, ...]
    seconds: float
    node: int = 0


def new_identity() -> str:
    """A name for a launch that no other one has."""
    return uuid.uuid4().hex[:12]


def entry_of(launch: Launch, verdict: str, cause: str = "") -> dict[str, Any]:
    """What is kept of a launch: `planned` and `measured` side by side, in bytes and seconds.

    Args:
        launch: what is known of it.
        verdict: `ready` or `failed`.
        cause: of the failure.
    """
    plan, figures = launch.plan, launch.figures
    measured: dict[str, Any] = {
        **figures.to_json(),
        "memory": [row.to_json() for row in launch.memory],
        "overhead": overhead_of_devices(plan, figures, launch.memory),
    }
    measured.pop("stages", None)
    return {
        **_head(LAUNCH, launch.identity, plan),
        "flags": settings_of(plan),
        "parallel": dict(plan.parallel),
        "nodes": plan.nodes,
        **({"node": launch.node} if launch.node else {}),
        "planned": {
            "capacity": plan.memory.capacity,
            "weights": plan.memory.weights,
            "kv_cache": plan.memory.kv_cache,
            "kv_tokens": plan.memory.kv_tokens,
            "overhead": plan.memory.overhead,
            "computed": plan.memory.computed,
        },
        "measured": measured,
        "seconds_to_ready" if verdict == READY else "seconds": round(launch.seconds, 1),
        "stages": dict(figures.stages),
        "verdict": verdict,
        **({"cause": without_credentials(cause)[:1000]} if cause else {}),
    }


def keep_launch(
    launch: Launch, settings: Settings, error: QregError | None = None, observe: Observer = ignore
) -> None:
    """Keep that a launch was ready, or why it failed."""
    entry = entry_of(launch, FAILED if error else READY, cause_of(error) if error else "")
    _keep(launch.plan, entry, settings, observe)


def keep_smoke(
    plan: Plan,
    identity: str,
    settings: Settings,
    said: Mapping[str, Any],
    *,
    cause: str = "",
    observe: Observer = ignore,
) -> None:
    """Keep the smoke request's verdict.

    Args:
        plan: of the server that was asked.
        identity: of its launch.
        settings: name the data folder and MLflow.
        said: what was asked and answered; its own `verdict` counts, if it has one.
        cause: why it failed; empty where it passed.
        observe: is told if it could not be kept.
    """
    entry = {
        **_head(SMOKE, identity, plan),
        "verdict": FAILED if cause else PASSED,
        **({"cause": without_credentials(cause)[:1000]} if cause else {}),
        **said,
    }
    _keep(plan, entry, settings, observe)


def cause_of(error: QregError) -> str:
    """Why something failed, for a record that others may read: no line of a log, no home folder."""
    return _HOME.sub("~", error.message)


def settings_of(plan: Plan) -> dict[str, str]:
    """The flags and variables that decide how a plan runs: without places, secrets masked."""
    found: dict[str, str] = {}
    for flag in plan.flags_of(0):
        if flag.name not in PLACES:
            value = " ".join([flag.value or "", *flag.more]).strip()
            name = flag.name.lstrip("-").replace("-", "_")
            found[flag.name] = "…" if value and is_secret(name, value) else value
    return found


def overhead_of_devices(
    plan: Plan, figures: EngineFigures, memory: Collection[DeviceMemory]
) -> int | None:
    """Bytes beside weights and KV cache on the fullest device; None where it cannot be told.

    On NPUs and GPUs the engine gives the KV cache what its share of the device leaves, so that the
    overhead is the share times the capacity, less weights and cache; the capacity is the plan's, so
    that the next plan gives the cache what the engine gave it. Where the cache has a size of its
    own, or the share is the engine's own default, nothing follows. On a CPU it is what the
    processes hold, less both.
    """
    rows = figures.devices.values()
    share = plan.value("--gpu-memory-utilization")
    left = share is not None and plan.flag("--kv-cache-memory-bytes") is None
    found = [
        int(float(share or 0) * plan.memory.capacity) - row.weights - row.kv_cache
        for row in rows
        if left and row.weights is not None and row.kv_cache is not None
    ]
    if not found and plan.engine == "vllm-cpu":
        caches = [row.kv_cache for row in rows if row.kv_cache is not None]
        held = [row.ours for row in memory if row.ours is not None]
        if caches and held:
            found = [sum(held) - sum(caches) - plan.memory.weights]
    return max(found) if found and max(found) >= 0 else None


def _head(kind: str, identity: str, plan: Plan) -> dict[str, Any]:
    return {
        "kind": kind,
        "launch": identity,
        "time": utc_now(),
        "artifact": plan.artifact,
        "digest": plan.digest,
        "engine": plan.engine,
        "release": plan.release,
        "hardware": plan.hardware,
        "chip": plan.chip,
        "digest_of_plan": plan.to_json()["digest_of_plan"],
    }


def _keep(plan: Plan, entry: Mapping[str, Any], settings: Settings, observe: Observer) -> None:
    from registry.tracking.evidence import track_evidence

    try:
        digest = Digest.parse(plan.digest)
    except QregError:
        return  # nobody knows what was launched
    try:
        record_evidence(settings, digest, entry)
        track_evidence(settings, entry)
    except OSError as error:
        observe(
            Note(
                f"What this launch showed could not be kept in {settings.data}: "
                f"{error.strerror or error}. Free some space or mend the folder's permissions.",
                warning=True,
            )
        )
