"""vLLM with its Ascend plugin, on NPUs."""

from __future__ import annotations

from pathlib import Path

from serving.engines.interface import Engine
from serving.engines.sighting import sight_of
from serving.engines.steps import STEPS
from serving.facts import ArtifactFacts
from serving.failures import ASCEND
from serving.fit import Fit
from serving.fit.npu import Request, fit_devices
from serving.hardware import Detected, Hardware
from serving.plan import Flag
from serving.releases import Release
from serving.rules import ascend
from serving.rules.ascend.parallel import nodes
from serving.rules.ascend.speed import draft_of
from serving.rules.families import stretch_of
from serving.rules.situation import Check, Rule, Situation
from serving.wishes import Wishes

# `_310p/attention/attention_mask.py` of 0.23: two masks of float16 that cover every pair of tokens,
# and the length that they have if nothing is said.
_MASK_310P, _POSITIONS_310P = 4, 16384


class VllmAscend(Engine):
    """Starts `vllm serve` with the Ascend plugin."""

    name = "vllm-ascend"
    toolchain = "vllm-ascend"
    has_releases = True
    steps = STEPS
    failures = ASCEND

    def sight(self) -> Detected:
        return sight_of("npu", "NPUs")

    def fit(
        self, facts: ArtifactFacts, hardware: Hardware, wishes: Wishes, release: Release | None
    ) -> Fit:
        before = Situation(facts, hardware, wishes, Fit.unknown(), release)
        said, stretch = draft_of(before), stretch_of(facts)
        own = wishes.table("--speculative-config")
        tokens = said.value["tokens"] if said else 0
        if own is not None:
            number = own.get("num_speculative_tokens")
            tokens = number if type(number) is int and number > 0 else 0
        native = facts.architecture.max_positions
        most = native
        asked = wishes.number("--max-model-len")
        if native and asked and asked > native:
            own_rope = "rope" in (wishes.given("--hf-overrides") or "")
            allowed = "VLLM_ALLOW_LONG_MAX_MODEL_LEN" in wishes.environment
            most = asked if own_rope or allowed else stretch.most if stretch else native
        on_310p = hardware.chip == "310P"
        return fit_devices(
            Request(
                facts,
                hardware,
                wishes,
                most,
                speculative=tokens,
                halved=on_310p,
                mask=_MASK_310P if on_310p else 0,
                usual_positions=_POSITIONS_310P if on_310p else None,
                experts=not on_310p,
            )
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        return ascend.RULES

    @property
    def checks(self) -> tuple[Check, ...]:
        return ascend.CHECKS

    def node_flags(self, situation: Situation) -> tuple[tuple[Flag, ...], ...]:
        return nodes(situation)

    def command(self, python: Path, folder: str) -> tuple[str, ...]:
        # `--headless` exists in this command only, not in the API server's module.
        return (str(python), "-m", "vllm.entrypoints.cli.main", "serve", folder)
