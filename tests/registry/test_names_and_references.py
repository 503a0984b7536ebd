"""Names, paths, digests and references: what is let in, and how it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.artifact import Digest
from registry.errors import IntegrityError, UsageError
from registry.names import check_name, check_new_tags, check_path, check_tag
from registry.reference import Reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize("name", ["a/b", "vllm-ascend/Kimi-K2-Instruct-W8A8", "Org_1/Qwen2.5-7B"])
def test_names_that_the_hubs_take(name: str) -> None:
    assert check_name(name) == name


BAD_NAMES = [
    *("", "a", "a/b/c", "../b", "a/..", "a/b..c", "a b/c", "ä/b", "a/模型", "a--b/c", "-a/b"),
    *("a/b-", "a/.b", "a/" + "b" * 97, "a/b\n", "a\\b/c"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert "ORG/NAME" in caught.value.remedy


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a//b", "", ".", "a\\b", "a\0b", "a\nb", "x" * 2000]
)
def test_unsafe_paths_are_refused(path: str) -> None:
    with pytest.raises(IntegrityError):
        check_path(path)


def test_safe_paths_pass() -> None:
    assert check_path("sub/model-00001-of-00002.safetensors")


@pytest.mark.parametrize("tag", ["a b", "a/b", "", "..", "ü", "x" * 200])
def test_bad_tags_are_refused(tag: str) -> None:
    with pytest.raises(UsageError):
        check_tag(tag)


@pytest.mark.parametrize(
    "tag",
    [
        "sha256-" + "a" * 64,
        "sha256-x",
        "a" * 40,
        "0A" * 32,
        "HEAD",
        "main",
        "master",
        "1.lock",
        "1.",
    ],
)
def test_tags_that_hubs_read_otherwise_are_read_but_not_given(tag: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_new_tags(["v1", tag])
    assert repr(tag) in caught.value.message and "v1" in caught.value.remedy
    assert Reference.parse(f"hf://org/name@{tag}").revision == tag


def test_tags_beside_those_that_hubs_read_otherwise() -> None:
    tags = ("a" * 39, "v1.2", "lock", "main-2", "head", "sha256", "g" * 40)
    assert check_new_tags([*tags, "v1.2"]) == tags


@pytest.mark.parametrize(
    ("text", "scheme", "location", "revision", "digest"),
    [
        ("org/name", "", "org/name", None, None),
        ("org/name@v1", "", "org/name", "v1", None),
        (f"org/name@{DIGEST}", "", "org/name", None, Digest("ab" * 32)),
        ("hf://org/name@main", "hf", "org/name", "main", None),
        ("ms://org/name", "ms", "org/name", None, None),
        ("s3://bucket/prefix/org/name", "s3", "bucket/prefix/org/name", None, None),
        ("file:///srv/models/org/name", "file", "/srv/models/org/name", None, None),
        ("models:/org--name@current", "models", "org--name", "current", None),
        ("models:/org--name/3", "models", "org--name/3", None, None),
    ],
)
def test_references(
    text: str, scheme: str, location: str, revision: str | None, digest: Digest | None
) -> None:
    reference = Reference.parse(text)
    assert (reference.scheme, reference.location) == (scheme, location)
    assert (reference.revision, reference.digest) == (revision, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "ftp://org/name",
        "org/name@",
        "org/name@sha256:12",
        "hf://only",
        "file://relative",
        "s3://models/../org/name",
        "s3://models//a/org/name",
        "s3://models/./org/name",
        "s3://models/a?x=1/org/name",
        "s3://models/a#b/org/name",
        "s3://models/org/name//",
        "",
        " a/b",
    ],
)
def test_malformed_references(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


def test_an_existing_folder_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert Reference.parse("org/name") == Reference("file", str(tmp_path / "org" / "name"))
    assert Reference.parse("./missing").scheme == "file"
