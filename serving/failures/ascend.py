"""Failures of vLLM Ascend, as users of it reported them; numbers are issues of vllm-ascend."""

from __future__ import annotations

from serving.failures.known import KnownFailure
from serving.failures.shared import SHARED

ASCEND = (
    KnownFailure(
        r"NPU out of memory\. Tried to allocate (?P<wanted>[\d.]+ \w+) \(NPU (?P<device>\d+); "
        r"(?P<total>[\d.]+ \w+) total capacity; (?P<held>[\d.]+ \w+) already allocated;"
        r"(?:.*?; )?\s*(?P<free>[\d.]+ \w+) free",
        "NPU {device} ran out of memory when {wanted} more were wanted: of {total} this process "
        "held {held}, and {free} were free",
        "If it held little, somebody else is on the device: `npu-smi info` shows whom; stop it or "
        "choose others with --devices . If it held much, shorten the context (-- --max-model-len "
        "N), use fewer sequences (-- --max-num-seqs N) or more devices.",
        "torch_npu; #19",
    ),
    KnownFailure(
        r"NPU out of memory",
        "an NPU ran out of memory",
        "Shorten the context (-- --max-model-len N), use fewer sequences or more devices; `npu-smi "
        "info` shows whether somebody else is on it.",
        "torch_npu",
    ),
    KnownFailure(
        r"(?P<library>libatb\S*): cannot open shared object|_register_atb_extensions|"
        r"Could not load this library: \S*atb",
        "NNAL (ATB) is missing, not set up, or of another CANN",
        "Install NNAL of CANN's version and source its set_env.sh "
        "(/usr/local/Ascend/nnal/atb/set_env.sh).",
        "#152, #2727, #10525",
    ),
    KnownFailure(
        r"ascend_transport\.so: cannot open shared object",
        "Mooncake's library cannot be found",
        "Add its folder, often /usr/local/lib, to LD_LIBRARY_PATH.",
        "#6949",
    ),
    KnownFailure(
        r"(?P<library>lib(?:hccl|ascendcl|ascend_hal|runtime|ge_\w+|c_sec|opapi|nnopbase)\S*): "
        r"cannot open shared object",
        "CANN is not set up: {library} cannot be found",
        "Source CANN's set_env.sh before (/usr/local/Ascend/ascend-toolkit/set_env.sh, or "
        "/usr/local/Ascend/cann/set_env.sh); libascend_hal is the driver's, which a container "
        "must mount.",
        "#262",
    ),
    KnownFailure(
        r"No module named 'torch_npu'|has no attribute 'npu'",
        "torch_npu is not installed beside torch, or of another version",
        "Install the version that the release names; `qreg plan` shows the pairing.",
        "Python",
    ),
    KnownFailure(
        r"Failed to infer device type",
        "vLLM found no NPU: CANN is not set up, or torch_npu and the plugin do not load",
        "Source CANN's set_env.sh, then try `python -c 'import torch_npu'` with the engine's "
        "interpreter; it says what is missing.",
        "vllm/config/device.py; #262",
        weak=True,
    ),
    KnownFailure(
        r"There is no available ascend quantizer",
        "the release is too old for ModelSlim's artifacts, or wants MindIE Turbo",
        "Use a newer release of vLLM Ascend.",
        "#633",
    ),
    KnownFailure(
        r"layers\.\d+\.\S*\.deq_scale",
        "weights of ModelSlim were read without its method",
        "Add -- --quantization ascend ; qreg's plans have it.",
        "#1329",
    ),
    KnownFailure(
        r"aclnnQuantMatmulWeightNz failed",
        "the release multiplies NZ weights in a way that this chip does not have",
        "On 310P use a release that has a path of its own for it.",
        "#1736",
    ),
    KnownFailure(
        r"\[Listen\].*listen on ip\[(?P<address>[^\]]*)\].*port\[(?P<port>\d+)\] fail",
        "HCCL's port {port} on {address} is taken by another job of this host",
        "End that job, or choose others: HCCL_HOST_SOCKET_PORT_RANGE and "
        "HCCL_NPU_SOCKET_PORT_RANGE.",
        "#1955",
    ),
    KnownFailure(
        r"Getting socket times out|EI0006",
        "HCCL waited in vain for another rank: it did not start, started late, or cannot be "
        "reached",
        "Look at the logs of all nodes for an earlier failure. Else set HCCL_IF_IP and "
        "HCCL_SOCKET_IFNAME, start all nodes within HCCL_CONNECT_TIMEOUT (120 s), and compare "
        "`hccn_tool -i 0 -tls -g` on all nodes.",
        "#5461, #9447, #1955",
        weak=True,
    ),
    KnownFailure(
        r"\[c10d\].*timed out after|ProcessGroupGloo.*timed out|"
        r"DistStoreError.*[Tt]imed out",
        "gloo or torch's store waited in vain for another node",
        "Set GLOO_SOCKET_IFNAME, TP_SOCKET_IFNAME and VLLM_HOST_IP to the interface that the "
        "nodes share, and look at the other nodes' logs.",
        "#2248, vllm #14340",
        weak=True,
    ),
    *SHARED,
)
