"""The outcome of fitting an artifact on hardware."""

from __future__ import annotations

from dataclasses import dataclass, field

from registry.finding import Finding
from serving.plan import Memory


@dataclass(frozen=True)
class Layout:
    """How a model is spread over devices.

    Attributes:
        tensor: ranks that share each layer.
        data: replicas of attention, each with sequences of its own.
        pipeline: stages, each with some of the layers.
        nodes: machines.
        experts: whether routed experts are spread over all tensor × data ranks of a stage.
        context: tensor parallel ranks among which one sequence's KV cache is spread.
        prefill: further ranks among which a prompt is spread, each with all of attention's weights
            (`--prefill-context-parallel-size`).
    """

    tensor: int = 1
    data: int = 1
    pipeline: int = 1
    nodes: int = 1
    experts: bool = False
    context: int = 1
    prefill: int = 1

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.tensor * self.data * self.pipeline * self.prefill

    @property
    def expert_ranks(self) -> int:
        """Ranks that share the routed experts of a layer."""
        return self.tensor * self.data * self.prefill if self.experts else self.tensor

    def __str__(self) -> str:
        parts = [f"TP {self.tensor}"]
        parts += [f"DP {self.data}"] if self.data > 1 else []
        parts += [f"PP {self.pipeline}"] if self.pipeline > 1 else []
        parts += [f"PCP {self.prefill}"] if self.prefill > 1 else []
        return " × ".join(parts)


@dataclass(frozen=True)
class Fit:
    """The outcome.

    Attributes:
        memory: what goes where on each device.
        max_model_len: tokens that one sequence can have; None where config.json does not say.
        max_num_seqs: sequences at once, in each data parallel replica.
        shortened: whether the context had to be cut to fit.
        layout: over which devices.
        utilization: share of a device's memory that the engine may use.
        speculative: tokens that MTP layers draft at once; 0 without.
        why: what decided the layout, in a sentence.
        findings: why it does not fit, or what the user should know.
    """

    memory: Memory
    max_model_len: int | None
    max_num_seqs: int
    shortened: bool
    layout: Layout = Layout()
    utilization: float = 0.9
    speculative: int = 0
    why: str = ""
    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @classmethod
    def unknown(cls) -> Fit:
        """Before anything was fitted."""
        return cls(Memory(0, 0, 0, 0), None, 1, False)
