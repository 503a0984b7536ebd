"""A launch on record: what is kept of it, and what the next plan takes from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from registry.artifact import Digest
from registry.config import Settings
from registry.errors import ToolError
from registry.evidence import read_all_evidence, read_evidence, record_evidence
from registry.progress import Note
from serving.evidence.engine_log import GIB, read_log
from serving.evidence.lookup import with_proofs
from serving.evidence.memory import DeviceMemory
from serving.evidence.proven import proofs_of, samples_of
from serving.evidence.record import Launch, entry_of, keep_launch, keep_smoke
from serving.fit import Layout, fit_cpu
from serving.fit.cache import cache_of
from serving.fit.overhead import overhead_of
from serving.hardware import detect_cpu
from serving.plan import Flag, Plan
from serving.wishes import OverheadSample, Wishes
from tests.serving.evidence.logs import A3, CPU
from tests.serving.twins import facts_of, plan

DIGEST = "sha256:" + "ab" * 32
MODEL = "Qwen3-32B"
ANSWER = {"prompt": "Hello?", "answer": "Hello.", "tokens": 3, "seconds": 0.5}


def _plan(*words: str, **wishes: Any) -> Plan:
    share = ("--gpu-memory-utilization", "0.92")
    made = plan(facts_of(MODEL, "W8A8_DYNAMIC"), "A3", *share, *words, **wishes)
    return replace(made, digest=DIGEST)


def _launch(made: Plan, identity: str = "one") -> Launch:
    figures = replace(read_log(A3.splitlines()), stages={"loading weights": 93.4})
    memory = (DeviceMemory(0, 59440 * 2**20, 65536 * 2**20, 56370 * 2**20, "npu-smi info"),)
    return Launch(identity, made, figures, memory, 255.0)


def test_planned_and_measured_stand_side_by_side() -> None:
    made = _plan()
    entry = entry_of(_launch(made), "ready")
    json.dumps(entry)
    assert entry["digest_of_plan"] == made.to_json()["digest_of_plan"]
    assert entry["planned"]["kv_tokens"] == made.memory.kv_tokens
    # 0.92 of 60.96 GiB, less weights and cache of the fuller device: the A3 itself showed 3.49.
    assert entry["measured"]["overhead"] / GIB == pytest.approx(3.49, abs=0.01)
    assert entry["measured"]["kv_tokens"] == 3322350
    assert entry["measured"]["memory"][0]["ours"] == 56370 * 2**20
    assert (entry["seconds_to_ready"], entry["stages"]) == (255.0, {"loading weights": 93.4})


def test_a_cpus_overhead_is_what_its_processes_hold_beside_weights_and_cache() -> None:
    made = replace(_plan(), engine="vllm-cpu")
    held = (DeviceMemory(0, None, None, made.memory.weights + 3 * GIB, "/proc"),)
    figures = read_log(CPU.splitlines())
    entry = entry_of(Launch("one", made, figures, held, 28.0), "ready")
    assert entry["measured"]["overhead"] == 2 * GIB  # the cache of 1 GiB is written to
    entry = entry_of(Launch("one", made, figures, (), 28.0), "ready")
    assert entry["measured"]["overhead"] is None


def test_nothing_follows_from_a_cache_of_a_size_of_its_own() -> None:
    made = _plan("--kv-cache-memory-bytes", str(8 * GIB))
    assert entry_of(_launch(made), "ready")["measured"]["overhead"] is None
    made = replace(made, flags=tuple(f for f in made.flags if "utilization" not in f.name))
    assert entry_of(_launch(made), "ready")["measured"]["overhead"] is None


def test_secrets_and_places_are_not_kept() -> None:
    made = _plan()
    secret = Flag("--hf-token", "hf_veryverysecret1234567890", "a test", "user")
    entry = entry_of(_launch(replace(made, flags=(*made.flags, secret))), "ready")
    assert "verysecret" not in json.dumps(entry) and entry["flags"]["--hf-token"] == "…"
    assert "--port" not in entry["flags"]


def test_the_next_plan_says_that_it_is_proven(settings: Settings) -> None:
    made = _plan()
    before = made.to_json()["digest_of_plan"]
    keep_launch(_launch(made), settings)
    assert with_proofs(made, settings).proven == ()  # it was ready, and nobody has asked it
    keep_smoke(made, "one", settings, ANSWER)
    (proof,) = with_proofs(made, settings).proven
    assert proof.sentence.startswith("proven on A3 on 20")
    assert "with vllm-ascend 0.23.0, with this plan" in proof.sentence
    assert proof.seconds_to_ready == 255.0
    assert with_proofs(made, settings).to_json()["digest_of_plan"] == before
    # Where it listens is not what was proven.
    elsewhere = with_proofs(_plan(port=9000), settings)
    assert elsewhere.proven[0].differences == ()


def test_another_plan_is_told_with_what_differs(settings: Settings) -> None:
    made = _plan("--max-num-seqs", "8")
    keep_launch(_launch(made), settings)
    keep_smoke(made, "one", settings, ANSWER)
    (proof,) = with_proofs(_plan("--max-num-seqs", "16", "--disable-log-stats"), settings).proven
    assert "it had no --disable-log-stats" in proof.differences
    assert "--max-num-seqs was 8" in proof.differences
    assert "with another plan" in proof.sentence and "--max-num-seqs was 8" in proof.sentence


def test_of_another_engine_only_the_engine_is_told(settings: Settings) -> None:
    made = _plan()
    keep_launch(_launch(made), settings)
    keep_smoke(made, "one", settings, ANSWER)
    other = replace(made, engine="vllm-cpu", hardware="CPU x86_64", flags=made.flags[:2])
    (proof,) = with_proofs(other, settings).proven
    assert proof.differences == ("the hardware was A3", "the engine was vllm-ascend")


def test_a_failure_is_told_until_the_same_passes(settings: Settings) -> None:
    made = _plan()
    error = ToolError(
        "vllm-ascend ended at start-up: NPU out of memory, see /home/alice/x.log",
        details="non-default args: {'api_key': ['sk-secret']}",
    )
    keep_launch(_launch(made), settings, error)
    (proof,) = with_proofs(made, settings).proven
    assert not proof.passed and "failed on A3" in proof.sentence
    assert "NPU out of memory, see ~" in proof.sentence
    kept = next((settings.data / "evidence").iterdir()).read_text()
    assert "sk-secret" not in kept and "alice" not in kept
    keep_launch(_launch(made, "two"), settings)
    keep_smoke(made, "two", settings, {"prompt": "?"}, cause="It answered without text")
    assert "without text" in with_proofs(made, settings).proven[0].sentence
    keep_launch(_launch(made, "three"), settings)
    keep_smoke(made, "three", settings, ANSWER)
    assert [proof.passed for proof in with_proofs(made, settings).proven] == [True]


def test_evidence_of_before_there_were_verdicts_counts_as_another_plan() -> None:
    old = {"kind": "smoke", "time": "2026-10-01T00:00:00Z", "digest": DIGEST, "hardware": "A3",
           "engine": "vllm-ascend", "release": "0.23.0", "digest_of_plan": "sha256:00",
           "answer": "Yes"}  # fmt: skip
    (proof,) = proofs_of(_plan(), [old])
    assert proof.passed and proof.differences == ("its flags are not on record",)


def test_a_damaged_record_is_read_around(settings: Settings) -> None:
    digest = Digest.parse(DIGEST)
    record_evidence(settings, digest, {"kind": "smoke", "launch": "x" * 10})
    path = next((settings.data / "evidence").iterdir())
    with path.open("ab") as file:
        file.write(b'{"kind": "smoke", "cut o')  # the power went
    record_evidence(settings, digest, {"kind": "launch"})
    with path.open("ab") as file:
        file.write(b"[1]\n\xff\xfe\n" + b"[" * 100_000)
    assert [e["kind"] for e in read_evidence(settings, digest)] == ["smoke", "launch"]
    assert proofs_of(_plan(), [{"kind": "smoke", "verdict": 3, "time": []}, {}, {"kind": None}])


def test_a_full_disk_fails_no_launch(settings: Settings) -> None:
    (settings.data).mkdir(parents=True)
    (settings.data / "evidence").write_text("no folder")
    told: list[Any] = []
    keep_launch(_launch(_plan()), settings, observe=told.append)
    assert isinstance(told[0], Note) and "could not be kept" in told[0].text


def _sample(size: float, weights: float = 10, step: int = 4096) -> OverheadSample:
    return OverheadSample(int(size * GIB), int(weights * GIB), step, "A3 on 2026-11-28")


def _overhead(samples: list[OverheadSample], weights: float = 10, **wishes: Any) -> float:
    given = Wishes(measured=tuple(samples), **wishes)
    size = int(weights * GIB)
    return overhead_of(given, size, 40960, 4 * GIB, sequences=64).bytes / GIB


def test_the_largest_measured_overhead_counts_with_a_margin() -> None:
    assert _overhead([]) == 4.0
    # H200, 8B: cold and warm cache of compiled graphs. A plan after the warm start alone is safe.
    assert _overhead([_sample(0.57)]) == pytest.approx(1.57) and 1.57 > 1.46
    assert _overhead([_sample(0.57), _sample(1.46)]) == pytest.approx(2.46)
    three = [_sample(0.57), _sample(1.46), _sample(0.6)]
    assert _overhead(three) == pytest.approx(1.71)
    assert _overhead([_sample(5.0)]) == 6.0  # more than the constant: it was seen


def test_a_smaller_model_or_a_shorter_step_proves_nothing() -> None:
    assert _overhead([_sample(0.3, weights=0.1)], weights=40) == 4.0
    assert _overhead([_sample(0.3, step=1024)]) == 4.0
    longer = ("--max-num-batched-tokens", "16384")
    assert _overhead([_sample(0.3)], arguments=longer) == 4.0
    assert _overhead([_sample(0.3)], role="prefill") == 4.0


def test_an_unusual_launch_does_not_spoil_other_plans() -> None:
    """A step of the user's own, a larger model, more ranks: other plans stay as they are."""
    assert _overhead([_sample(8.5, step=32768)]) == 4.0
    assert _overhead([_sample(14, weights=60)]) == 4.0
    assert _overhead([replace(_sample(9), ranks=(2, 1, 1))]) == 4.0
    assert _overhead([replace(_sample(0.3), sequences=16)]) == 4.0


def test_warm_starts_lower_nothing() -> None:
    """They took 0.57 GiB where a cold one took 1.46 (launches on an H200)."""
    warm = replace(_sample(0.57), cold=False)
    assert _overhead([warm] * 3) == 4.0
    assert _overhead([warm, warm, _sample(1.46)]) == pytest.approx(1.71)
    assert _overhead([replace(_sample(5), cold=False)]) == 6.0


def test_a_plan_takes_the_measured_overhead_and_says_so(settings: Settings) -> None:
    made = _plan()
    keep_launch(_launch(made), settings)
    entries: list[Mapping[str, Any]] = list(read_all_evidence(settings))
    samples = samples_of(entries, "vllm-ascend", "0.23.0", "A3", "A3")
    assert len(samples) == 1
    # HCCL's buffers are computed for each plan anew, so they are not counted twice.
    measured = 3.49 * GIB
    assert samples[0].bytes == pytest.approx(measured - made.memory.computed, abs=0.01 * GIB)
    again = _plan(measured=samples)
    assert again.memory.overhead == made.memory.overhead  # 3.49 and a margin are the usual 4
    assert "overhead measured on A3 on 20" in again.memory.overhead_source
    assert "3.49 GiB, one start; the usual 4.00 GiB stay" in again.memory.overhead_source
    again = _plan(measured=samples * 3)
    assert again.memory.overhead == pytest.approx(3.49 * 1.1 * GIB, rel=0.01)
    assert again.memory.kv_cache > made.memory.kv_cache
    for engine, release, chip in (
        ("vllm", "0.23.0", "A3"), ("vllm-ascend", "0.22.0", "A3"),
        ("vllm-ascend", "0.23.0", "A2"), ("vllm-ascend", "", "A3"),
    ):  # fmt: skip
        assert samples_of(entries, engine, release, "other", chip) == ()


def test_planned_tokens_are_counted_as_vllm_counts_them() -> None:
    """`get_kv_cache_capacity` (vllm 0.32.0, v1/core/kv_cache_utils.py:2304)."""
    made = _plan("--max-model-len", "8192")
    facts = facts_of(MODEL, "W8A8_DYNAMIC")
    one = cache_of(facts.architecture, facts.text_config, Layout(made.parallel["tensor"]))
    assert one is not None
    concurrency = made.memory.kv_cache / one.bytes(8192)
    assert made.memory.kv_tokens == pytest.approx(concurrency * 8192, rel=1e-4)
    # On a CPU: vllm-cpu 0.32.0 said 524,288 tokens of 1 GiB for the demo, 2,048 bytes a token.
    found = fit_cpu(facts, replace(detect_cpu(), memory=512 * GIB))
    per_token = facts.architecture.kv_bytes_per_token
    assert per_token and found.memory.kv_tokens == found.memory.kv_cache // per_token
