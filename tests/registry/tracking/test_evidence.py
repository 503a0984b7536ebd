"""What launches showed, in a real MLflow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from registry.config import Settings
from registry.tracking.client import connect
from registry.tracking.evidence import track_evidence
from registry.tracking.journal import EVIDENCE, Journal, journals
from registry.tracking.recovery import recover, synchronise
from registry.tracking.run import tracked_run
from registry.transfer.publishing import publish
from serving.identity import free_port
from tests.checkpoints import write_quantized

pytestmark = pytest.mark.filterwarnings("default")  # MLflow and its libraries warn of themselves

HEAD = {"launch": "0123456789ab", "time": "2026-11-28T12:00:00Z", "artifact": "org/tiny",
        "engine": "vllm-ascend", "release": "0.23.0", "hardware": "A3", "chip": "A3",
        "digest_of_plan": "sha256:" + "cd" * 32}  # fmt: skip
LAUNCH = {
    **HEAD,
    "kind": "launch",
    "verdict": "ready",
    "planned": {"kv_cache": 100, "kv_tokens": None},
    "measured": {"kv_tokens": 3322350, "overhead": 7, "devices": {"TP0": {"weights": 1}}},
    "stages": {"reading the model's config": 2.5},
    "seconds_to_ready": 255.0,
}
SMOKE = {**HEAD, "kind": "smoke", "verdict": "passed", "answer": "Hello."}


def test_the_run_and_the_model_version_are_told(settings: Settings, tmp_path: Path) -> None:
    published = publish(write_quantized(tmp_path / "model"), settings, name="org/tiny")
    digest = str(published.manifest.digest)
    with tracked_run(settings, experiment="quant/Base", run_name="r", tags={}) as run:
        run.tags({"qreg.digest": digest})
        other = {"qreg.digest": "sha256:" + "00" * 32}
    with tracked_run(settings, experiment="quant/Base", run_name="other", tags=other):
        pass
    for entry in (LAUNCH, SMOKE):
        track_evidence(settings, {**entry, "digest": digest})
    assert synchronise(settings).sent == 2 and journals(settings) == []
    client = connect(settings)
    (version,) = client.search_model_versions("name = 'org--tiny'")
    assert version.tags["qreg.proven"].startswith("on A3 with vllm-ascend 0.23.0 at 2026-11-28")
    found = client.search_runs(
        [client.get_experiment_by_name("quant/Base").experiment_id],
        "attributes.run_name = 'r'",
    )[0]
    assert "plan cdcdcdcdcdcd" in found.data.tags["qreg.proven"]
    assert found.data.metrics["launch/measured/kv_tokens"] == 3322350
    assert found.data.metrics["launch/planned/kv_cache"] == 100
    assert found.data.metrics["launch/seconds_to_ready"] == 255.0
    assert found.info.status == "FINISHED"
    paths = {a.path for a in client.list_artifacts(found.info.run_id, "evidence")}
    assert paths == {"evidence/launch-0123456789ab.json", "evidence/smoke-0123456789ab.json"}
    local = client.download_artifacts(found.info.run_id, "evidence/launch-0123456789ab.json")
    assert json.loads(Path(local).read_text())["measured"]["devices"] == {"TP0": {"weights": 1}}
    stranger = client.search_runs(
        [found.info.experiment_id], "attributes.run_name = 'other'"
    )[0]  # fmt: skip
    assert "qreg.proven" not in stranger.data.tags


def test_evidence_of_what_mlflow_does_not_know_goes_nowhere(settings: Settings) -> None:
    entry = {**LAUNCH, "digest": "sha256:" + "ef" * 32}
    track_evidence(settings, entry)
    assert journals(settings) == []  # it has never been used: no run, no version
    connect(settings)
    track_evidence(settings, entry)
    assert synchronise(settings).sent == 1 and journals(settings) == []


def test_an_mlflow_that_is_away_gets_it_later(settings: Settings) -> None:
    away = replace(settings, tracking_uri=f"http://127.0.0.1:{free_port()}")
    track_evidence(away, {**SMOKE, "digest": "sha256:" + "ef" * 32})
    done = synchronise(away)
    assert (done.sent, done.waiting) == (0, 1) and done.trouble
    assert len(journals(away)) == 1


def test_evidence_of_a_process_that_died_while_writing_it_is_dropped(settings: Settings) -> None:
    connect(settings)
    Journal.create(settings, {"kind": EVIDENCE, "run_name": "org/tiny"}).release()
    assert recover(settings).sent == 1 and journals(settings) == []
