"""Secrets that were to reach tools, or be shown by them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from registry.errors import UsageError
from serving.abbreviations import option_names
from serving.arguments import parse_arguments
from toolchains import run_tool
from toolchains.environment import ENGINE_SECRETS, PIP_SECRETS

CANARY = "canary-5d1c0e"
SECRETS = {
    "HF_TOKEN": CANARY,
    "HUGGING_FACE_HUB_TOKEN": CANARY,
    "HUGGINGFACEHUB_API_TOKEN": CANARY,
    "MODELSCOPE_API_TOKEN": CANARY,
    "MODELSCOPE_SDK_TOKEN": CANARY,
    "AWS_ACCESS_KEY_ID": CANARY,
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_SESSION_TOKEN": CANARY,
    "MLFLOW_TRACKING_USERNAME": CANARY,
    "MLFLOW_TRACKING_PASSWORD": CANARY,
    "MLFLOW_TRACKING_TOKEN": CANARY,
    "MLFLOW_TRACKING_URI": f"postgresql://mlflow:{CANARY}@db/mlflow",
    "OPENAI_API_KEY": CANARY,
    "GITHUB_TOKEN": CANARY,
    "PGPASSWORD": CANARY,
    "MYSQL_PWD": CANARY,
    "APIKEY": CANARY,
    "deploy_private_key": CANARY,
    "PIP_INDEX_URL": f"https://build:{CANARY}@packages.example/simple",
    "VLLM_API_KEY": CANARY,
}
OTHERS = {
    "LD_LIBRARY_PATH": "/usr/local/Ascend/lib64",
    "ASCEND_RT_VISIBLE_DEVICES": "0,1",
    "HCCL_CONNECT_TIMEOUT": "600",
    "OMP_NUM_THREADS": "3",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_MULTI_STREAM_GEMM_TOKEN_THRESHOLD": "1024",
    "HTTPS_PROXY": "http://user:word@proxy.example:3128",
    "no_proxy": "localhost",
    "SSL_CERT_FILE": "/etc/ssl/cert.pem",
    "PWD": "/",
    "MLFLOW_EXPERIMENT_NAME": "mine",
}
DUMP = "import json, os; print(json.dumps(dict(os.environ)))"


def seen_by_a_tool(tmp_path: Path, secrets: tuple[str, ...] = ()) -> dict[str, str]:
    """The environment that a real tool prints."""
    log = tmp_path / "log"
    done = run_tool([sys.executable, "-c", DUMP], log=log, env={"OWN": "x"}, secrets=secrets)
    assert done.code == 0
    found: dict[str, str] = json.loads(log.read_text())
    return found


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECRETS, **OTHERS}.items():
        monkeypatch.setenv(name, value)


def test_a_tool_reads_the_secrets_of_its_environment(tmp_path: Path) -> None:
    found = seen_by_a_tool(tmp_path)
    assert CANARY not in json.dumps(found)
    assert {name: found.get(name) for name in OTHERS} == OTHERS
    assert found["OWN"] == "x"


@pytest.mark.parametrize(("needs", "others"), [(ENGINE_SECRETS, 1), (PIP_SECRETS, 1)])
def test_a_tool_reads_more_than_it_needs(
    tmp_path: Path, needs: tuple[str, ...], others: int
) -> None:
    found = seen_by_a_tool(tmp_path, needs)
    assert {name for name, value in found.items() if CANARY in value} <= set(needs)
    assert sum(CANARY in value for value in found.values()) == others


def test_the_user_lets_a_secret_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QREG_PASS", "GITHUB_TOKEN, PGPASSWORD")
    found = seen_by_a_tool(tmp_path)
    shown = {name for name, value in found.items() if CANARY in value}
    assert shown == {"GITHUB_TOKEN", "PGPASSWORD"}


@pytest.mark.parametrize(
    "word",
    [
        "--api-key",
        "--api_key",
        "--api-ke",
        "--api_ke",
        "--api-k",
        "--api-key.a",
        "--hf-to",
        "--hf_t",
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_a_secret_is_given_under_another_spelling(word: str, joined: bool) -> None:
    words = [f"{word}={CANARY}"] if joined else [word, CANARY]
    with pytest.raises(UsageError) as caught:
        parse_arguments(["--seed", "1", *words])
    assert "environment" in caught.value.remedy
    assert CANARY not in caught.value.message + caught.value.remedy + caught.value.details


def test_another_model_is_given_under_another_spelling() -> None:
    for word in ("--model", "--mode", "--model.x"):
        with pytest.raises(UsageError):
            parse_arguments([word, "/somewhere/else"])


def test_a_file_of_options_holds_a_secret_or_another_model(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    for line in (f"api-key: {CANARY}", f"api_ke: [{CANARY}]", f"hf-token: {CANARY}", "model: /x"):
        path.write_text(f"seed: 1\n{line}\n")
        with pytest.raises(UsageError) as caught:
            parse_arguments(["--config", str(path)])
        assert str(path) in caught.value.message and CANARY not in caught.value.message
    path.write_text("seed: 1\n")
    assert parse_arguments(["--config", str(path)])[0].argv() == ["--config", str(path)]


def test_the_engine_sees_whole_names_only() -> None:
    """What argparse itself takes a beginning for is what qreg checked and shows."""
    theirs = argparse.ArgumentParser(add_help=False)
    for name in option_names():
        theirs.add_argument(name, nargs="?", const="on")
    for name in sorted(option_names())[::9]:
        for end in range(3, len(name) + 1):
            try:
                ours = parse_arguments([name[:end]])[0].name
            except UsageError:
                continue
            found = vars(theirs.parse_args([name[:end]]))
            assert found[ours[2:].replace("-", "_")] == "on"
    with pytest.raises(UsageError, match="--max-model-len"):
        parse_arguments(["--max", "1"])
