"""The steps of a start of vLLM, as its log tells them."""

from __future__ import annotations

_WEIGHTS, _PROFILE, _COMPILE = "loading weights", "profiling memory", "compiling"
_CACHE, _GRAPHS = "making the KV cache", "capturing graphs"

# Lines of the log and the step that begins with them, in the order of the steps (vLLM 0.11 to 0.32,
# vLLM Ascend 0.11 to 0.23). A step can begin with one of several lines: the model runners V1 and V2
# differ, and compilation may come from a cache, or not at all.
STEPS = (
    ("non-default args", "importing the engine"),
    ("Resolved architecture", "reading the model's config"),
    ("Initializing a V1 LLM engine", "starting the engine core"),
    ("Starting to load model", _WEIGHTS),  # v1/worker/gpu_model_runner.py, cpu_model_runner.py
    ("Loading model from scratch", _WEIGHTS),  # v1/worker/gpu/model_runner.py, the V2 runner
    ("Loading safetensors checkpoint shards", _WEIGHTS),
    ("Multi-thread loading shards", _WEIGHTS),
    ("Loading weights took", _PROFILE),
    ("Model loading took", _PROFILE),
    ("Loading model weights took", _PROFILE),  # vLLM Ascend's model_runner_v1.py
    ("for vLLM's torch.compile", _COMPILE),  # compilation/backends.py
    ("Starting torch.compile", _COMPILE),  # compilation/monitor.py
    ("Dynamo bytecode transform time", _COMPILE),
    ("Compiling a graph for compile range", _COMPILE),
    ("Directly load the compiled graph", _COMPILE),
    ("Warming up model for the compilation", _COMPILE),  # v1/worker/cpu_model_runner.py
    ("torch.compile took", _CACHE),
    ("torch.compile and initial profiling", _CACHE),
    ("Initial profiling/warmup run took", _CACHE),
    ("Warming up done", _CACHE),
    ("Available KV cache memory", _CACHE),
    ("KV cache size", "warming up"),
    ("Capturing", _GRAPHS),  # the bar of every runner: "Capturing CUDA graphs (FULL)"
    ("Graph capturing finished", "finishing the warm-up"),
    ("init engine", "opening the server"),
    ("Application startup complete", "ready"),
)
