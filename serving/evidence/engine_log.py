"""Figures that an engine prints at its start: memory of each device, KV cache, seconds by stage.

The lines are those of vLLM 0.11 to 0.32 on GPUs and CPUs (`v1/worker/gpu_worker.py`,
`gpu_model_runner.py`, `cpu_worker.py`, `v1/core/kv_cache_utils.py`, `v1/engine/core.py`,
`compilation/monitor.py`) and of vLLM Ascend 0.11 to 0.23 (`worker/worker.py`,
`model_runner_v1.py`, which writes GB for GiB). A line of a worker begins with its name,
`(Worker_TP1_EP1 pid=1229)`; every worker prints the same figures, interleaved with the others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

GIB = 2**30
_PROCESS = re.compile(r"^\(([^()]+?) pid=\d+\)")
_NUMBER = r"(-?[\d,]+(?:\.\d+)?)"
_WEIGHTS = re.compile(
    rf"(?:Loading model weights took {_NUMBER} G|Model loading took {_NUMBER} GiB)"
)
_LOADING = re.compile(
    rf"(?:load_model total time: {_NUMBER} sec|Model loading took .* and {_NUMBER} sec)"
)
_READING = re.compile(rf"Loading weights took {_NUMBER} sec")
_CACHE = re.compile(
    rf"(?:Available KV cache memory: {_NUMBER} GiB"
    rf"|(?:Explicitly|Auto) set \({_NUMBER}/[\d.]+\) GiB)"
)
_COMPILING = re.compile(rf"torch\.compile (?:and .* together )?took {_NUMBER} s in total")
_PROFILING = re.compile(rf"Initial profiling/warmup run took {_NUMBER} s")
_GRAPHS = re.compile(rf"Graph capturing finished in {_NUMBER} secs, took {_NUMBER} GiB")
_TOKENS = re.compile(rf"KV cache size: {_NUMBER} tokens")
_CONCURRENCY = re.compile(rf"Maximum concurrency for {_NUMBER} tokens per request: {_NUMBER}x")
_INIT = re.compile(rf"init engine \(.*?\) took {_NUMBER} s")
# What sorts a worker's figures: data, pipeline, tensor ranks; the name of its process else.
_RANK = re.compile(r"(DP|PP|PCP|TP|EP)(\d+)")


@dataclass(frozen=True)
class DeviceFigures:
    """What one worker said of its device; None for what it did not say.

    Attributes:
        weights: bytes of the loaded weights.
        kv_cache: bytes that are left for the KV cache; negative where the share is too small.
        graphs: bytes of captured graphs.
        reading: seconds of reading the weights, of all models together.
        loading: seconds until the model was loaded, with the above.
        compiling: seconds of torch.compile.
        profiling: seconds of the first run.
        capturing: seconds of capturing graphs.
    """

    weights: int | None = None
    kv_cache: int | None = None
    graphs: int | None = None
    reading: float | None = None
    loading: float | None = None
    compiling: float | None = None
    profiling: float | None = None
    capturing: float | None = None

    @property
    def said(self) -> bool:
        """Whether anything is known."""
        return any(value is not None for value in asdict(self).values())


@dataclass(frozen=True)
class EngineFigures:
    """What a start showed.

    Attributes:
        devices: figures by worker, `TP0`, `DP1_TP0`; `EngineCore` where the engine has no workers.
        kv_tokens: tokens that the KV cache holds, of the smallest replica.
        concurrency: sequences of the longest context that it holds, of the smallest replica.
        context: tokens of such a sequence.
        init: seconds from the loaded model to the engine that takes requests.
        stages: seconds of each stage of the start, by its name, in order.
    """

    devices: Mapping[str, DeviceFigures] = field(default_factory=dict)
    kv_tokens: int | None = None
    concurrency: float | None = None
    context: int | None = None
    init: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Without what is not known; sizes in bytes, times in seconds."""
        rows = {name: _known(asdict(row)) for name, row in self.devices.items()}
        return _known({**asdict(self), "devices": rows, "stages": dict(self.stages)})


def read_line(figures: EngineFigures, line: str) -> EngineFigures:
    """The figures with what one line adds to them."""
    if found := _TOKENS.search(line):
        tokens = _whole(found.group(1))
        figures = replace(figures, kv_tokens=min(tokens, figures.kv_tokens or tokens))
    if found := _CONCURRENCY.search(line):
        share = _real(found.group(2))
        figures = replace(
            figures,
            context=_whole(found.group(1)),
            concurrency=min(share, share if figures.concurrency is None else figures.concurrency),
        )
    if found := _INIT.search(line):
        figures = replace(figures, init=max(_real(found.group(1)), figures.init or 0.0))
    name = _worker(line)
    before = figures.devices.get(name, DeviceFigures())
    after = _read_device(before, line)
    if after == before:
        return figures
    return replace(figures, devices={**figures.devices, name: after})


def _read_device(row: DeviceFigures, line: str) -> DeviceFigures:
    if found := _WEIGHTS.search(line):
        row = replace(row, weights=_bytes(_first(found)))
    if found := _LOADING.search(line):
        row = replace(row, loading=_real(_first(found)))
    if found := _READING.search(line):  # once more for a draft model
        row = replace(row, reading=round((row.reading or 0.0) + _real(found.group(1)), 2))
    if found := _CACHE.search(line):
        row = replace(row, kv_cache=_bytes(_first(found)))
    if found := _COMPILING.search(line):
        row = replace(row, compiling=round((row.compiling or 0.0) + _real(found.group(1)), 2))
    if found := _PROFILING.search(line):
        row = replace(row, profiling=_real(found.group(1)))
    if found := _GRAPHS.search(line):
        row = replace(row, capturing=_real(found.group(1)), graphs=_bytes(found.group(2)))
    return row


def read_log(lines: Sequence[str]) -> EngineFigures:
    """All figures of a log; stages need to know when a line was seen, see `StartWatch`."""
    figures = EngineFigures()
    for line in lines:
        figures = read_line(figures, line)
    return figures


class StartWatch:
    """Follows a start line by line, and notes when each stage began."""

    def __init__(
        self, steps: Sequence[tuple[str, str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to watch: the start begins now.

        Args:
            steps: signs in lines of the log and the stage that each one begins, of the engine.
            clock: tells seconds.
        """
        self._steps, self._clock = steps, clock
        self._order = tuple(dict.fromkeys(stage for _, stage in steps))
        self._furthest = -1
        self._began = clock()
        self._at: list[tuple[str, float]] = [("starting the process", 0.0)]
        self._figures = EngineFigures()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._began

    def see(self, line: str) -> None:
        """Take in a line of the log, now."""
        self._figures = read_line(self._figures, line)
        stage = next((stage for sign, stage in self._steps if sign in line), None)
        # Workers repeat one another's lines; a stage that was passed does not come back.
        if stage is not None and self._order.index(stage) > self._furthest:
            self._furthest = self._order.index(stage)
            self._at.append((stage, self.seconds))

    def figures(self) -> EngineFigures:
        """What was seen until now; the last stage lasts until now."""
        ends = [at for _, at in self._at[1:]] + [self.seconds]
        stages = {
            stage: round(end - at, 2) for (stage, at), end in zip(self._at, ends, strict=True)
        }
        return replace(self._figures, stages=stages)


def _worker(line: str) -> str:
    """The rank of the worker that wrote a line, `DP0_TP1`; its process where it has no rank."""
    found = _PROCESS.match(line)
    if found is None:
        return ""
    ranks = [f"{kind}{number}" for kind, number in _RANK.findall(found.group(1)) if kind != "EP"]
    return "_".join(ranks) if ranks and "Worker" in found.group(1) else found.group(1)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, {})}


def _first(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group is not None)


def _bytes(text: str) -> int:
    return int(_real(text) * GIB)


def _whole(text: str) -> int:
    return int(_real(text))


def _real(text: str) -> float:
    return float(text.replace(",", ""))
