"""Names, links, modes, and files that are not what their names say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.lint_cases import Artifact, floating, made, modelslim
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import finish, put

_SHARD = "quant_model_weights-00001-of-00002.safetensors"
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4000000000\n"
_PAGE = "<!DOCTYPE html>\n<html><body>Log in to the network</body></html>"


def _moved(path: str, place: Callable[[Path], Path]) -> Artifact:
    """A model of which one file is a link to where it was moved."""

    def act(folder: Path) -> None:
        target = place(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / path).rename(target)
        (folder / path).symlink_to(target)

    return made(modelslim, finish(act))


def _snapshot(folder: Path) -> Path:
    """A model as huggingface_hub caches it: a folder of links to blobs."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "0123abcd"
    made(modelslim)(snapshot)
    blobs.mkdir()
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / f"{number:064x}")
        file.symlink_to(Path("../../blobs", f"{number:064x}"))
    return snapshot


def _dangling(folder: Path) -> None:
    (folder / "vocab.json").symlink_to("../../blobs/0123")


def _mode(mode: int, *paths: str) -> Artifact:
    """A model of which some files, or all, have other permissions."""

    def act(folder: Path) -> None:
        for file in [folder / path for path in paths] or folder.iterdir():
            file.chmod(mode)

    return made(modelslim, put("LICENSE", "Apache 2.0"), finish(act))


def _over(path: str, content: bytes) -> Artifact:
    """A model of which one file holds something else."""
    return made(modelslim, finish(lambda folder: (folder / path).write_bytes(content)))


CASES = {
    "unsafe-path": [
        Case(
            "a name that means another folder elsewhere",
            made(modelslim, put("..\\evil.json", "{}")),
            made(modelslim, put("notes (draft)..v2.json", "{}")),
            where="..\\evil.json",
            says="not a safe relative path",
        ),
        Case(
            "a name with a line break",
            made(modelslim, put("a\nb.json", "{}")),
            # Nothing is wrong with its name: `symlink` tells what is.
            made(modelslim, finish(_dangling)),
            where="a b.json",
            says="not a safe relative path",
        ),
    ],
    "symlink": [
        Case(
            "a link out of the folder",
            _moved("tokenizer.json", lambda folder: folder.parent / "elsewhere" / "t.json"),
            _snapshot,
            "warning",
            "tokenizer.json",
            "elsewhere/t.json",
        ),
        Case(
            "a link into a folder of blobs that is no hub's cache",
            _moved("tokenizer.json", lambda folder: folder.parent / "blobs" / "t.json"),
            _moved("tokenizer.json", lambda folder: folder / "shared" / "t.json"),
            "warning",
            "tokenizer.json",
            "blobs/t.json",
        ),
        Case(
            "a link to nothing: the snapshot was copied without its blobs",
            made(modelslim, finish(_dangling)),
            _snapshot,
            "error",
            "vocab.json",
            "vocab.json",
        ),
    ],
    "case-collision": [
        Case(
            "two files for a file system that ignores case",
            made(modelslim, put("Config.json", "{}")),
            made(modelslim, put("original/config.json", "{}")),
            "warning",
            None,
            "Config.json and config.json",
        )
    ],
    "private-file": [
        Case(
            "settings of the shell that quantized it",
            made(modelslim, put(".env", "HF_TOKEN=x")),
            made(modelslim, put(".env.example", "HF_TOKEN=")),
            where=".env",
            says="may hold secrets",
        ),
        Case(
            "a key in a folder",
            made(modelslim, put("deploy/id_ed25519", "x")),
            made(modelslim, put("deploy/id_ed25519.pub", "x")),
            where="deploy/id_ed25519",
            says="may hold secrets",
        ),
    ],
    "lfs-pointer": [
        Case(
            "in place of a shard",
            _over(_SHARD, _POINTER),
            _over("README.md", b"Clone it with git-lfs; " + _POINTER),
            where=_SHARD,
        ),
        Case(
            "in place of the tokenizer",
            _over("tokenizer.json", _POINTER),
            _over("merges.txt", b"#version: 0.2\na b\n"),
            where="tokenizer.json",
        ),
    ],
    "web-page": [
        Case(
            "a login page",
            _over("tokenizer.json", _PAGE.encode()),
            made(modelslim, put("report.html", _PAGE)),
            where="tokenizer.json",
        ),
        Case(
            "a hub's page, whose doctype has small letters",
            _over("tokenizer.json", _PAGE.lower().encode()),
            made(modelslim, put("README.md", "<div align='center'><h1>Qwen3</h1></div>")),
            where="tokenizer.json",
        ),
    ],
    "file-mode": [
        Case(
            "only the owner may read it",
            _mode(0o600, _SHARD),
            _mode(0o640, _SHARD),
            "warning",
            _SHARD,
            "Only their owner",
        ),
        Case(
            "read-only for the owner",
            _mode(0o400, "config.json"),
            _mode(0o444, "config.json"),
            "warning",
            "config.json",
        ),
        Case(
            "a data file is marked executable",
            _mode(0o755, "config.json"),
            _mode(0o755),  # a file system without modes
            "info",
            "config.json",
            "executable",
        ),
    ],
    "json-damaged": [
        Case(
            "config.json is cut off",
            _over("config.json", b'{"model_type": "qwen3", '),
            made(modelslim, put("generation_config.json", "{}")),
            where="config.json",
            says="not JSON",
        ),
        Case(
            "the description is a list",
            _over("quant_model_description.json", b"[]"),
            made(modelslim, put("added_tokens.json", "[]")),
            where="quant_model_description.json",
            says="not a JSON object",
        ),
        Case(
            "generation_config.json is a list",
            made(floating, put("generation_config.json", "[]")),
            made(floating, put("generation_config.json", "{\n}\n")),
            where="generation_config.json",
            says="no JSON object",
        ),
        Case(
            "the tokenizer is cut off",
            made(modelslim, put("tokenizer.json", '{"model": {"vocab": {"a": 1, ')),
            made(modelslim, put("tokenizer.json", '{"model": {"vocab": {"ä": 1}}}')),
            where="tokenizer.json",
        ),
    ],
}
