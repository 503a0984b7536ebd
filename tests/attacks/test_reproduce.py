"""Artifacts whose record of how they were made was to act on the machine of who reproduces them.

The quantizer is a stand-in: an interpreter that does with a job what LLM-Compressor's worker does
as far as code is concerned. It runs the model's Python files if the job trusts them, and says what
transformers says if not.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantizers.reproduce import Again, reproduce
from registry.artifact import payload_digest
from registry.config import Settings
from registry.describe import describe_folder
from registry.errors import QregError
from registry.folder import hash_files, list_files
from tests.checkpoints import CONFIG, FLOAT, write_model
from tests.conftest import Ran, Run
from tests.hub import hub

RECIPE = """
name: ours
calibration: null
stages:
  quantization_stage:
    quantization_modifiers:
      QuantizationModifier: {targets: [Linear], scheme: W8A8, ignore: [lm_head]}
"""
WORKER = """
import json, pathlib, sys
job = json.loads(pathlib.Path(sys.argv[-1]).read_text())
source = pathlib.Path(job["source"])
if not job["trust_remote_code"]:
    sys.exit("ValueError: The repository contains custom code which must be executed")
for path in sorted(source.glob("*.py")):
    exec(compile(path.read_text(), path.name, "exec"))
print("ran with", job)
sys.exit(3)
"""
Evil = Callable[..., Path]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with toolchains whose interpreter runs WORKER."""
    folder = tmp_path / "toolchains"
    folder.mkdir()
    python = folder / "python"
    (folder / "worker.py").write_text(WORKER)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/worker.py "$@"\n')
    python.chmod(0o755)
    for name in ("llmcompressor", "modelslim"):
        record = {"python": str(python), "versions": {}}
        (folder / f"{name}.json").write_text(json.dumps(record))
    monkeypatch.setenv("QREG_TOOLCHAINS", str(folder))
    return replace(settings, toolchains=folder)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A float model that brings code, which leaves a canary if it runs."""
    auto_map = {"AutoModelForCausalLM": "modeling_own.Model"}
    folder = write_model(tmp_path / "base", FLOAT, {**CONFIG, "auto_map": auto_map})
    canary = tmp_path / "canary"
    (folder / "modeling_own.py").write_text(f"open({str(canary)!r}, 'w').write('ran')\n")
    return folder


@pytest.fixture
def evil(tmp_path: Path, base: Path) -> Evil:
    """Makes an artifact, called test/evil, whose record is ours but for some values."""

    def make(*, where: str = "evil", text: str = RECIPE, **changes: Any) -> Path:
        folder = write_model(tmp_path / where, FLOAT, {**CONFIG, "seed": 1})
        source = hash_files(base, list_files(base))
        record: dict[str, Any] = {
            "base": {"name": "base", "digest": str(payload_digest(source))},
            "tool": {"name": "llmcompressor", "version": "0.14.0"},
            "toolchain": {"name": "llmcompressor", "lock_digest": "", "versions": {}},
            "recipe": {"name": "ours", "digest": digest_of(text), "text": text},
            "options": {},
            "environment": {},
        }
        for key, value in changes.items():
            known = record.get(key)
            both = isinstance(known, dict) and isinstance(value, dict)
            record[key] = {**known, **value} if both else value
        manifest = describe_folder(folder, name="test/evil", provenance=record)
        (folder / "qreg.json").write_bytes(manifest.to_bytes())
        return folder

    return make


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def files_below(folder: Path) -> set[str]:
    """What a command may have written: all but the data folder, the cache and the toolchain's."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in ("data", "cache", "toolchains")
    }


def refusal(settings: Settings, folder: Path, source: Path | str) -> QregError:
    """What the command would end with, without a process of its own."""
    with pytest.raises(QregError) as caught:
        reproduce(str(folder), settings, Again(source=str(source)))
    return caught.value


def refused(ran: Ran, *codes: int) -> dict[str, Any]:
    assert ran.code in codes, (ran.code, ran.out, ran.err)
    assert "Traceback" not in ran.err + ran.out
    return ran.error


@pytest.mark.parametrize(
    "name",
    [
        "ABSOLUTE",
        "../../outside",
        "..",
        "a/b",
        "a\nb",
        "\x1b]52;c;eA==\x07",
        "x" * 5000,
        "",
        None,
        7,
    ],
)
def test_a_recipe_is_named_like_a_file_elsewhere(
    name: Any, settings: Settings, tmp_path: Path, base: Path, evil: Evil
) -> None:
    value = str(tmp_path / "outside") if name == "ABSOLUTE" else name
    folder = evil(recipe={"name": value})
    before = files_below(tmp_path)
    error = refusal(settings, folder, base)
    assert files_below(tmp_path) == before
    assert error.exit_code == 6 and "recipe.name" in error.message
    assert len(error.message) < 400 and error.message.isprintable()


@pytest.mark.parametrize("name", ["ABSOLUTE", "../../outside"])
def test_the_same_comes_from_a_hub(
    name: str, qreg: Run, tmp_path: Path, base: Path, evil: Evil
) -> None:
    value = str(tmp_path / "outside") if name == "ABSOLUTE" else name
    evil(where="hub/test/evil", recipe={"name": value})
    before = files_below(tmp_path)
    with hub(tmp_path / "hub") as running:
        env = {"HF_ENDPOINT": running.url}
        ran = qreg("reproduce", "hf://test/evil", "--source", base, "--json", env=env)
    assert "recipe.name" in refused(ran, 6)["message"]
    assert files_below(tmp_path) == before


def test_the_same_comes_from_a_registry(qreg: Run, tmp_path: Path, base: Path, evil: Evil) -> None:
    folder = evil(recipe={"name": str(tmp_path / "outside")})
    assert qreg("publish", folder, "--name", "test/evil").code == 0
    before = files_below(tmp_path)
    refused(qreg("reproduce", "test/evil", "--source", base, "--json"), 6)
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tool": {"name": "../modelslim"}}, "tool"),
        ({"tool": {"name": ["llmcompressor"]}}, "tool"),
        ({"toolchain": {"name": "../base"}}, "toolchain"),
        ({"toolchain": {"versions": {"torch": ["2"]}}}, "versions"),
        ({"base": {"digest": "../x"}}, "digest"),
        ({"options": {"device": "cpu --save_path /tmp/x"}}, "device"),
        ({"options": {"device": ["cpu"]}}, "device"),
        ({"options": {"model_type": "--config_path=/etc/passwd"}}, "model_type"),
        ({"options": {"model_type": "a b"}}, "model_type"),
        ({"options": {"target": "../A2"}}, "target"),
        ({"options": {"arguments": "rm -rf"}}, "arguments"),
        ({"options": "device"}, "options"),
        ({"environment": {"OMP_NUM_THREADS": "4096"}}, "OMP_NUM_THREADS"),
        ({"environment": {"OMP_NUM_THREADS": "1\nX=1"}}, "OMP_NUM_THREADS"),
        ({"code": {"digest": 5}}, "digest"),
    ],
)
def test_a_recorded_value_is_an_option_or_a_path(
    changes: dict[str, Any], named: str, settings: Settings, base: Path, evil: Evil
) -> None:
    error = refusal(settings, evil(**changes), base)
    assert error.exit_code == 6
    assert named in error.message and error.message.isprintable()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("W8A8, observer: /tmp/code.py:Observer", "observer"),
        ("W8A8, observer: code.py:Observer", "Python"),
        ("W8A8, weight_observer: code:Observer", "weight_observer"),
        ("W8A8, observer: !!binary L3RtcC94LnB5OkM=", "bytes"),
        ("W8A8, report_path: report", "report_path"),
        ("W8A8, schedule: 'calc(start)'", "code"),
        ("W8A8, dataset: ../texts.jsonl", "path"),
        ("W8A8, {a: /tmp/x}: 1", ""),
    ],
)
def test_a_recorded_recipe_names_files_or_code(
    value: str, said: str, settings: Settings, base: Path, evil: Evil
) -> None:
    error = refusal(settings, evil(text=RECIPE.replace("W8A8", value)), base)
    assert error.exit_code in (2, 6) and said in error.message


def test_a_recipe_is_not_the_one_of_its_digest(settings: Settings, base: Path, evil: Evil) -> None:
    folder = evil(recipe={"text": RECIPE.replace("W8A8", "FP8_DYNAMIC")})
    assert refusal(settings, folder, base).exit_code == 5


def test_recorded_paths_are_opened(
    settings: Settings, tmp_path: Path, base: Path, evil: Evil
) -> None:
    """A pipe in place of a set would hold the command for ever; a source would be hashed whole."""
    pipe = tmp_path / "set.jsonl"
    os.mkfifo(pipe)
    text = RECIPE.replace("calibration: null", "calibration: {samples: 1, max_tokens: 8}")
    recorded = {"file": "set.jsonl", "digest": digest_of("x"), "path": str(pipe)}
    folder = evil(text=text, calibration=recorded)
    error = refusal(settings, folder, base)
    assert error.exit_code == 2
    assert "--calibration" in error.remedy and str(pipe) in error.message
    for reference in ("/proc", "file:///", str(base), "../base", "./base"):
        folder = evil(base={"reference": reference, "name": "base"})
        error = refusal(settings, folder, "")
        assert error.exit_code == 3 and "--source" in error.remedy


def test_a_record_consents_to_code_of_the_model(
    qreg: Run, tmp_path: Path, base: Path, evil: Evil
) -> None:
    folder = evil(options={"trust_remote_code": True})
    error = refused(qreg("reproduce", folder, "--source", base, "--json"), 4)
    assert not (tmp_path / "canary").exists()
    assert "modeling_own.py" in error["message"] and "sha256:" in error["message"]
    assert "--trust-remote-code" in error["remedy"]
    # With the user's consent the code runs, and its files and digest are said.
    ran = qreg("reproduce", folder, "--source", base, "--trust-remote-code", "--json")
    assert ran.code == 8, ran.err
    assert (tmp_path / "canary").read_text() == "ran"
    assert "modeling_own.py" in ran.err and "sha256:" in ran.err


def test_consent_is_used_for_other_code(qreg: Run, tmp_path: Path, base: Path, evil: Evil) -> None:
    code = {"digest": digest_of("what was read by somebody"), "files": ["modeling_own.py"]}
    folder = evil(options={"trust_remote_code": True}, code=code)
    ran = qreg("reproduce", folder, "--source", base, "--trust-remote-code", "--json")
    assert "is not what ran then" in refused(ran, 5)["message"]
    assert not (tmp_path / "canary").exists()


def test_consent_is_used_where_no_code_ran_then(
    qreg: Run, tmp_path: Path, base: Path, evil: Evil
) -> None:
    ran = qreg("reproduce", evil(), "--source", base, "--trust-remote-code", "--json")
    refused(ran, 4)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("command", ["quantize", "reproduce"])
def test_code_is_taken_from_another_repository(
    command: str, qreg: Run, tmp_path: Path, base: Path, evil: Evil
) -> None:
    tokenizer = {"auto_map": {"AutoTokenizer": ["other/repository--tokenization.Own", None]}}
    (base / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    arguments: tuple[object, ...] = ("quantize", base, "--name", "test/made", "--no-evaluate")
    if command == "reproduce":
        folder = evil(options={"trust_remote_code": True})
        arguments = ("reproduce", folder, "--source", base)
    error = refused(qreg(*arguments, "--trust-remote-code", "--json"), 4)
    assert "other/repository--tokenization.Own" in error["message"]
    assert not (tmp_path / "canary").exists()


def test_a_model_that_needs_code_is_quantized(qreg: Run, tmp_path: Path, base: Path) -> None:
    arguments = ("quantize", base, "--name", "test/made", "--no-evaluate", "--json")
    error = refused(qreg(*arguments), 4)
    assert not (tmp_path / "canary").exists()
    assert "modeling_own.py" in error["message"] and "sha256:" in error["message"]
    assert "--trust-remote-code" in error["remedy"]


def test_a_record_tells_a_script_something(
    qreg: Run, tmp_path: Path, base: Path, evil: Evil
) -> None:
    text = "parser.add_argument('--model_path'); parser.add_argument('--save_path')\n"
    script = tmp_path / "quant.py"
    script.write_text(text)
    options = {"script": "quant.py", "arguments": ["--hook", "{path}/evil.py", "--w_bit", "8"]}
    changes = {"tool": {"name": "modelslim"}, "toolchain": {"name": "modelslim"}}
    folder = evil(text=text, recipe={"name": "quant"}, options=options, **changes)
    command = ("reproduce", folder, "--source", base, "--script", script, "--json")
    error = refused(qreg(*command), 2)
    assert "--hook" in error["message"] and "--w_bit" in error["message"]
    assert "--" in error["remedy"]
    refused(qreg(*command, "--", "--w_bit", "8"), 2)
    # Given again, with this machine's path, they are the recorded ones; the tool itself fails.
    given = qreg(*command, "--", "--hook", "/here/evil.py", "--w_bit", "8")
    assert given.code not in (0, 2), given.err
    refused(qreg("reproduce", evil(where="other"), "--source", base, "--json", "--", "--x"), 2)
