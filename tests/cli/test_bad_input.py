"""Bad input: each case with its exit code and a sentence that helps."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click
import pytest

from qreg.cli.errors import report
from qreg.cli.signals import Terminated
from registry.config import Settings
from registry.transfer.publishing import publish
from tests.checkpoints import write_model, write_quantized, write_sharded
from tests.conftest import Run


def _fails(qreg: Run, code: int, sentence: str, *arguments: object) -> None:
    """The command ends with this code and says this, for people and as JSON."""
    ran = qreg(*arguments)
    assert ran.code == code, ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    words = list(arguments)
    cut = words.index("--") if "--" in words else len(words)
    as_json = qreg(*words[:cut], "--json", *words[cut:])
    assert as_json.code == code
    assert sentence in as_json.error["message"]
    assert as_json.error["exit_code"] == code
    assert as_json.error["remedy"]


def test_sources_that_are_no_models(qreg: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("x")
    no_config = write_model(tmp_path / "no-config")
    (no_config / "config.json").unlink()
    truncated = write_model(tmp_path / "truncated")
    shard = truncated / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    shardless = write_sharded(tmp_path / "shardless")
    (shardless / "model-00001-of-00002.safetensors").unlink()
    for source, code, sentence in (
        (tmp_path / "missing", 3, "does not exist"),
        (tmp_path / "empty", 3, "is empty"),
        (tmp_path / "file.txt", 2, "is a file, not a folder"),
        (no_config, 3, "no config.json"),
        (truncated, 5, "not a whole safetensors file"),
        (shardless, 3, "model-00001-of-00002.safetensors"),
    ):
        _fails(qreg, code, sentence, "quantize", source, "--name", "a/b")
        _fails(qreg, code, sentence, "publish", source, "--name", "a/b")


def test_quantizations_that_cannot_be(qreg: Run, tmp_path: Path) -> None:
    source = write_model(tmp_path / "m")
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("1")
    for code, sentence, arguments in (
        (3, "There is no recipe 'w9a9'", ["--recipe", "w9a9"]),
        (3, "There is no quantizer 'nope'", ["--tool", "nope"]),
        (2, "is not empty", ["--output", full]),
        (2, "is the source folder", ["--output", source]),
        (2, "lies inside the source folder", ["--output", source / "out"]),
        (2, "needs a calibration set", ["--recipe", "w8a8-smooth"]),
        (2, "data-free", ["--calibration", source / "config.json"]),
        (2, "Toolchain modelslim is none of llmcompressor's", ["--toolchain", "modelslim"]),
        (2, "none of modelslim's", ["--tool", "modelslim", "--toolchain", "vllm-cpu"]),
        (3, "no toolchain 'nope'", ["--toolchain", "nope"]),
        (6, "2 attention heads cannot be shared by 3 ranks", ["--target", "A3", "--tp", 3]),
    ):
        _fails(qreg, code, sentence, "quantize", source, "--name", "a/b", *arguments)
    for name in ("a/../b", "a/b c", "a/模型", "only"):
        _fails(qreg, 2, "not a valid artifact name", "quantize", source, "--name", name)
    assert sorted(p.name for p in full.iterdir()) == ["mine"]


def test_too_little_memory_and_disk(qreg: Run, tmp_path: Path) -> None:
    size = 10**13
    entry = {"x.weight": {"dtype": "BF16", "shape": [10**6, 5 * 10**6], "data_offsets": [0, size]}}
    header = json.dumps(entry).encode()
    source = write_model(tmp_path / "m")
    with (source / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    _fails(qreg, 6, "GiB of memory", "quantize", source, "--name", "a/b")


def test_names_and_references(qreg: Run, settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name="org/m")
    other = "sha256:" + "0" * 64
    for code, sentence, arguments in (
        (3, "not in the registry", ["pull", "org/none"]),
        (3, "no revision 'v9'", ["inspect", "org/m@v9"]),
        (5, f"no revision {other} in", ["pull", f"org/m@{other}"]),
        (3, "not in the registry", ["pull", f"org/none@{other}"]),
        (5, "is pinned", ["inspect", f"file://{tmp_path / 'm'}@{other}"]),
        (2, "Unknown scheme", ["plan", "ftp://org/m"]),
        (6, "No store for 'gs://'", ["publish", tmp_path / "m", "--name", "a/b", "--to", "gs://b"]),
        (2, "not a valid artifact name", ["publish", tmp_path / "m", "--name", "../up"]),
        (2, "not a valid tag", ["publish", tmp_path / "m", "--name", "a/b", "--tag", "a b"]),
        (
            2,
            "something else on hubs",
            ["publish", tmp_path / "m", "--name", "a/b", "--tag", "main"],
        ),
        (2, "No such command", ["frobnicate"]),
        (2, "No such option", ["plan", "org/m", "--prot", "1"]),
        (3, "There is no engine", ["plan", "org/m", "--engine", "nope"]),
    ):
        _fails(qreg, code, sentence, *arguments)


def test_a_damaged_artifact(qreg: Run, settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name="org/m")
    (stored,) = (settings.data / "registry" / "artifacts").rglob("model.safetensors")
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    _fails(qreg, 5, "not what its manifest says", "verify", "org/m")
    _fails(qreg, 5, "not what its manifest says", "serve", "org/m")


@pytest.mark.e2e
def test_a_port_in_use(qreg: Run, settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name="org/m")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = qreg("serve", "org/m", "--port", port)
    assert ran.code == 2
    assert f"Port {port}" in ran.err
    assert "--port" in ran.err


def test_toolchains(
    qreg: Run, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QREG_TOOLCHAINS", str(tmp_path / "toolchains"))
    source = write_model(tmp_path / "m")
    _fails(qreg, 3, "Toolchain llmcompressor is not installed", "quantize", source, "--name", "a/b")
    _fails(qreg, 3, "no toolchain 'nope'", "toolchain", "install", "nope")
    _fails(qreg, 3, "no interpreter", "toolchain", "use", "vllm-cpu", "--python", tmp_path / "p")
    use = ("toolchain", "use", "vllm-cpu", "--python")
    _fails(qreg, 8, "cannot be imported", *use, _empty(tmp_path))
    gone = tmp_path / "toolchains" / "llmcompressor.json"
    gone.parent.mkdir(exist_ok=True)
    gone.write_text(json.dumps({"python": str(tmp_path / "gone"), "versions": {}}))
    _fails(qreg, 8, "is gone", "quantize", source, "--name", "a/b")


def _empty(tmp_path: Path) -> Path:
    """An interpreter without anything."""
    import venv

    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    return tmp_path / "empty" / "bin" / "python"


def test_references_that_name_nothing(qreg: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    for code, sentence, text in (
        (2, "no such user", "~nobody-of-this-name/x"),
        (2, "is a file, not a folder", "m/config.json"),
        (2, "neither a file or folder here", "abc"),
        (2, "without a revision", "a/b@"),
        (2, "names nothing", "hf://"),
        (2, "names nothing", "models:/"),
        (2, "names no artifact in a bucket", "s3://bucket/name"),
        (2, "Unknown scheme", "ftp://a/b"),
    ):
        for command in ("inspect", "lint", "pull"):
            _fails(qreg, code, sentence, command, text)


@pytest.mark.parametrize(
    ("variable", "value", "code", "url"),
    [
        ("AWS_ENDPOINT_URL_S3", "garbage", 2, "s3://models/a"),
        ("AWS_ENDPOINT_URL", "http://under_score:9000", 2, "s3://models/a"),
        ("HF_ENDPOINT", "garbage", 7, "hf://"),
        ("HF_ENDPOINT", "ftp://hub", 7, "hf://"),
        ("MODELSCOPE_ENDPOINT", "http://", 7, "ms://"),
    ],
)
def test_a_server_address_that_is_none_names_its_variable(
    qreg: Run, tmp_path: Path, variable: str, value: str, code: int, url: str
) -> None:
    model = write_quantized(tmp_path / "m")
    artifact = f"{url}{'' if url.endswith('/') else '/'}a/b"
    for arguments in (["publish", model, "--name", "a/b", "--to", url], ["pull", artifact]):
        ran = qreg(*arguments, env={variable: value})
        assert ran.code == code and "Traceback" not in ran.err
        assert variable in ran.err.partition("What to do:")[2]


@pytest.mark.parametrize(
    ("to", "sentence"),
    [
        ("", "names no store"),
        ("hf://acme", "more than a hub's URL"),
        ("hf://acme/m1@v1", "more than a hub's URL"),
        ("ms://foo", "more than a hub's URL"),
        ("s3://models/../x", "'.' or '..'"),
        ("s3://models//a/", "empty"),
        ("s3:///models", "empty"),
        ("s3://models/a?x=1", "a '?'"),
        ("s3://models/a#b", "a '#'"),
    ],
)
def test_destinations_that_would_be_misread(
    qreg: Run, settings: Settings, tmp_path: Path, to: str, sentence: str
) -> None:
    _fails(qreg, 2, sentence, "publish", write_quantized(tmp_path / "m"), "--name=a/b", "--to", to)
    assert not settings.data.exists()


def test_offline_nothing_else_is_asked(qreg: Run, tmp_path: Path) -> None:
    model = write_quantized(tmp_path / "m")
    here = ("publish", model, "--name", "a/b", "--to", f"file://{tmp_path}/here")
    offline = {"QREG_OFFLINE": "1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    for url in ("hf://", "ms://", "s3://models/a"):
        for arguments in ((*here, "--to", url), ("list", "--from", url)):
            ran = qreg(*arguments, env=offline)
            assert ran.code == 7, ran.err
            assert f"{url} is not on this machine, and qreg is offline" in ran.err
    assert not (tmp_path / "here").exists()
    assert qreg(*here, env=offline).code == 0
    assert qreg("list", "--from", f"file://{tmp_path}/here", env=offline).code == 0


def test_a_manifest_of_a_newer_qreg_is_not_called_damaged(qreg: Run, tmp_path: Path) -> None:
    model = write_quantized(tmp_path / "m")
    (model / "qreg.json").write_text('{"schema_version": 2, "files": []}')
    _fails(qreg, 6, "schema version 2", "inspect", model)
    found = qreg("lint", model, "--json").json["findings"]
    told = [finding for finding in found if finding["where"] == "qreg.json"]
    assert [finding["fix"] for finding in told] == ["Upgrade qreg."]


def test_the_signal_that_stopped_a_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            raise Terminated("SIGTERM")
        except KeyboardInterrupt as error:
            raise click.Abort from error  # as click does
    except click.Abort as error:
        assert report(error, as_json=False) == 130
    assert "Stopped by SIGTERM" in capsys.readouterr().err
