"""The steps of a start, in the logs of real ones."""

from __future__ import annotations

from pathlib import Path

from serving.engines import open_engine
from tests.serving.failures.test_causes import LOGS

# A start of vLLM Ascend on an A3 in September 2026 (vLLM 0.27.1), shortened; V1 model runner.
ASCEND = """\
(APIServer pid=483) INFO 09-23 23:05:24 [model.py:645] Resolved architecture: DeepseekV41ForCausalLM
(Worker_TP0_EP0 pid=1228) Multi-thread loading shards:  51% Completed | 44/86 [00:36<00:18]
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:24 [default_loader.py:430] Loading weights took 56.29 s
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:40 [model_runner_v1.py:4092] Loading model weights took \
37.4330 GB
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:49 [backends.py:1155] Dynamo bytecode transform time: \
3.47 s
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:57 [backends.py:393] Compiling a graph for compile \
range (1, 8192) takes 8.04 s
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:59 [monitor.py:53] torch.compile took 13.32 s in total
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:09:00 [monitor.py:81] Initial profiling/warmup run took 1 s
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:09:02 [worker.py:628] Available KV cache memory: 15.16 GiB
(EngineCore pid=1201) INFO 09-23 23:09:02 [kv_cache_utils.py:2235] GPU KV cache size: 3,322,350 \
tokens
"""
# Texts of the V2 model runner on GPUs: vllm/v1/worker/gpu/model_runner.py and
# vllm/compilation/{backends,monitor}.py of 0.32.0.
V2 = """\
(EngineCore pid=1) INFO 11-28 10:47:24 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with
(EngineCore pid=1) INFO 11-28 10:47:33 [model_runner.py:392] Loading model from scratch...
(EngineCore pid=1) INFO 11-28 10:47:35 [default_loader.py:501] Loading weights took 2.02 seconds
(EngineCore pid=1) INFO 11-28 10:47:35 [model_runner.py:424] Model loading took 8.8 GiB memory and \
2.5 seconds
(EngineCore pid=1) INFO 11-28 10:47:36 [backends.py:1104] Using cache directory: /c for vLLM's \
torch.compile
(EngineCore pid=1) INFO 11-28 10:47:53 [monitor.py:62] torch.compile took 17.32 s in total
(EngineCore pid=1) INFO 11-28 10:47:55 [gpu_worker.py:759] Available KV cache memory: 115.57 GiB
Capturing CUDA graphs (FULL):   3%|▎         | 1/35 [00:00<00:05,  6.25it/s]
(EngineCore pid=1) INFO 11-28 10:48:02 [model_runner.py:1127] Graph capturing finished in 5 secs
(EngineCore pid=1) INFO 11-28 10:48:02 [core.py:402] init engine (profile, create kv cache) took 9 s
(APIServer pid=2) INFO:     Application startup complete.
"""


def _steps(engine: str, text: str) -> list[str]:
    seen = [open_engine(engine).read_line(line) for line in text.split("\n")]
    return list(dict.fromkeys(progress.stage for progress in seen if progress))


def test_loading_and_compiling_on_npus() -> None:
    assert _steps("vllm-ascend", ASCEND) == [
        "reading the model's config",
        "loading weights",
        "profiling memory",
        "compiling",
        "making the KV cache",
        "warming up",
    ]


def test_the_second_model_runner() -> None:
    assert _steps("vllm", V2) == [
        "starting the engine core",
        "loading weights",
        "profiling memory",
        "compiling",
        "making the KV cache",
        "capturing graphs",
        "finishing the warm-up",
        "opening the server",
        "ready",
    ]


def test_a_start_on_the_cpu() -> None:
    log = Path(LOGS / "notokenizer.log").read_text()
    assert _steps("vllm-cpu", log)[:5] == [
        "importing the engine",
        "reading the model's config",
        "starting the engine core",
        "loading weights",
        "profiling memory",
    ]


def test_steps_only_go_forward() -> None:
    engine = open_engine("vllm-ascend")
    stages = list(dict.fromkeys(stage for _, stage in engine.steps))
    for sign, stage in engine.steps:
        progress = engine.read_line(f"(Worker pid=1) {sign} and more")
        assert progress is not None and progress.stage == stage
        assert progress.done == stages.index(stage) + 1 and progress.total == len(stages)
