"""Figures from what real engines wrote at their start."""

from __future__ import annotations

import pytest

from serving.engines import open_engine
from serving.evidence.engine_log import GIB, StartWatch, read_log
from tests.serving.evidence.logs import A3, CPU, H200


def test_workers_of_an_a3_are_told_apart() -> None:
    figures = read_log(A3.splitlines())
    assert list(figures.devices) == ["TP0", "TP1"]
    first, second = figures.devices["TP0"], figures.devices["TP1"]
    assert (first.weights, second.weights) == (int(37.433 * GIB), int(37.423 * GIB))
    assert (first.kv_cache, second.kv_cache) == (int(15.16 * GIB), int(15.18 * GIB))
    assert (first.reading, first.loading) == (56.29, 93.43)
    assert (first.compiling, first.profiling) == (13.32, 1.5)
    assert (figures.kv_tokens, figures.concurrency, figures.context) == (3322350, 3.17, 1048576)


def test_a_cpu_says_its_cache_and_not_its_weights() -> None:
    figures = read_log(CPU.splitlines())
    worker = figures.devices["Worker"]
    assert (worker.weights, worker.kv_cache, worker.reading) == (None, GIB, 0.01)
    assert (figures.kv_tokens, figures.concurrency, figures.init) == (524288, 512.0, 0.6)
    assert "weights" not in figures.to_json()["devices"]["Worker"]  # unknown is not zero


def test_a_gpu_without_workers_of_its_own() -> None:
    figures = read_log(H200.splitlines())
    row = figures.devices["EngineCore"]
    assert (row.weights, row.kv_cache) == (int(8.8 * GIB), int(115.57 * GIB))
    assert (row.graphs, row.capturing, row.compiling) == (int(0.61 * GIB), 5.0, 31.0)
    assert (row.loading, figures.init) == (3.214518, 39.7)


def test_the_smallest_replica_counts_and_a_negative_cache_is_kept() -> None:
    figures = read_log(
        [
            "(EngineCore_DP0 pid=1) INFO GPU KV cache size: 9,000 tokens",
            "(EngineCore_DP1 pid=2) INFO GPU KV cache size: 8,000 tokens",
            "(Worker_DP1_TP0_EP4 pid=3) INFO Available KV cache memory: -0.41 GiB",
        ]
    )
    assert figures.kv_tokens == 8000
    assert figures.devices["DP1_TP0"].kv_cache == int(-0.41 * GIB)


@pytest.mark.parametrize("line", ["", "(", "INFO", "Loading weights took ages", "\x00" * 50, "👾"])
def test_other_lines_say_nothing(line: str) -> None:
    assert read_log([line]) == read_log([])


def test_stages_last_from_their_line_to_the_next_ones() -> None:
    now = [100.0]
    watch = StartWatch(open_engine("vllm-cpu").steps, lambda: now[0])
    for line in CPU.splitlines():
        now[0] += 1
        watch.see(line)
    stages = watch.figures().stages
    known = ["starting the process", *dict.fromkeys(s for _, s in open_engine("vllm-cpu").steps)]
    assert list(stages) == [stage for stage in known if stage in stages]
    assert stages["starting the process"] == 1.0
    assert stages["loading weights"] == 4.0  # from `Starting to load` to `Loading weights took`
    assert stages["starting the engine core"] == 1.0
    assert sum(stages.values()) == pytest.approx(watch.seconds)
    before = watch.figures().stages.keys()
    watch.see("(Worker_TP1 pid=7) INFO Starting to load model /MODEL...")  # another one is late
    assert watch.figures().stages.keys() == before
