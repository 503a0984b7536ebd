"""Which variables are secrets: names as hubs, clouds and engines have them."""

from __future__ import annotations

import json

import pytest

from serving.releases.release import DATA
from toolchains.environment import is_secret, tool_environment


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "hf_x"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.2/x"),
        ("S3_ACCESS_KEY_ID", "x"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("MY_PASS", "123456"),
        ("SERVICE_PASSWORD", "123456"),
        ("GIT_URL", "https://ghp_x@github.com/a/b"),
        ("PIP_EXTRA_INDEX_URL", "https://a.example/simple https://u:p@b.example/simple"),
    ],
)
def test_secrets_are_known_by_name_or_by_their_address(name: str, value: str) -> None:
    assert is_secret(name, value)
    assert tool_environment({name: value}) == {}
    assert tool_environment({name: value}, [name]) == {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/usr/bin"),
        ("OLDPWD", "/root"),
        ("PYTHONPATH", "/work"),
        ("KEYBOARD", "us"),
        ("MONKEY", "x"),
        ("HF_ENDPOINT", "https://hf-mirror.example"),
        ("PIP_INDEX_URL", "https://mirror.example/simple"),
        ("https_proxy", "http://u:p@proxy:3128"),
        ("VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE", "163840"),
        ("NODE_ADDRESS", "user@host"),
    ],
)
def test_other_variables_pass(name: str, value: str) -> None:
    assert not is_secret(name, value)


def test_of_what_engines_read_only_secrets_are_held_back() -> None:
    """The tables name every variable that vLLM and vLLM Ascend read."""
    read = {
        name for path in DATA.glob("*.json") for name in json.loads(path.read_text())["environment"]
    }
    assert len(read) > 200
    assert {name for name in read if is_secret(name, "1")} <= {
        *("EXA_API_KEY", "OPENAI_API_KEY", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"),
        *("VLLM_API_KEY",),
    }
