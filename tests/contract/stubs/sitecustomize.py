"""Stands in for Ascend's libraries where there is no NPU; Python runs it at its start.

`import torch_npu`, `acl` and the like succeed and every attribute of them exists, so that the
plugin's own Python code (its parser, configuration and platform checks) runs as it is. Nothing
here computes: a kernel that is called returns a stand-in. Only for tests.

CONTRACT_DEVICE names the NPU that the plugin shall think it was built for: A2, A3, 310P or 950.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import types

# Ascend's, and torchvision, whose wheels do not fit a CPU wheel of torch.
STOOD_IN = {"torch_npu", "acl", "mooncake", "torchvision"}
DEVICE = os.environ.get("CONTRACT_DEVICE", "A2")
# What the plugin's build writes, the number of the SoC and the name that torch_npu tells.
DEVICES = {
    "A2": ("A2", 223, "Ascend910B3"),
    "A3": ("A3", 250, "Ascend910_9391"),
    "310P": ("_310P", 202, "Ascend310P3"),
    "950": ("A5", 260, "Ascend950DT"),
}
# Compared and used as keys by the plugin, so they have to be numbers.
NUMBERS = {"float8_e8m0fnu": 44, "float4_e2m1fn_x2": 45, "hifloat8": 46}


class StandIn:
    """Has every attribute and can be called, subclassed, joined in types and used as decorator."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        found = StandIn()
        setattr(self, name, found)
        return found

    def __call__(self, *args: object, **_: object) -> object:
        # A decorator hands back what it decorates.
        return args[0] if len(args) == 1 and isinstance(args[0], types.FunctionType) else StandIn()

    def __mro_entries__(self, _: object) -> tuple[type, ...]:
        return (object,)

    def __or__(self, other: object) -> object:
        return other

    __ror__ = __or__


class StandInModule(types.ModuleType):
    """A module, and a package, of stand-ins."""

    __path__ = ()

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        found = NUMBERS.get(name) or StandIn()
        setattr(self, name, found)
        return found


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that are stood in for, with all below them."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name.partition(".")[0] in STOOD_IN:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StandInModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__ == "torch_npu":
            prepare_torch(module)


def prepare_torch(torch_npu: types.ModuleType) -> None:
    """What importing torch_npu does to torch: a device type `npu`, and `torch.npu`."""
    import torch
    import torch.distributed

    torch_npu.__version__ = "2.10.0.post4"
    torch.utils.rename_privateuse1_backend("npu")
    _, soc, name = DEVICES[DEVICE]
    npu = StandInModule("torch.npu")
    npu.is_available = lambda: True
    npu.device_count = lambda: 16
    npu.current_device = lambda: 0
    npu.get_device_name = lambda index=0: name
    npu.get_soc_version = lambda: soc
    npu.Stream = type("Stream", (), {})
    npu.Event = type("Event", (), {})
    torch.npu = torch_npu.npu = sys.modules["torch.npu"] = npu
    torch.version.cann = "9.1.0"
    torch.distributed.is_hccl_available = lambda: True


sys.meta_path.insert(0, Finder())
