"""`qreg cache` and `qreg hub`, and what pipelines read while bytes move."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.checkpoints import write_quantized
from tests.conftest import Run
from tests.own_hub import OwnHub, own_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with own_hub(tmp_path_factory.mktemp("hub") / "registry") as running:
        yield running


def test_the_life_of_a_cached_artifact(qreg: Run, hub: OwnHub, tmp_path: Path) -> None:
    env = hub.environment
    model = write_quantized(tmp_path / "m")
    published = qreg("publish", model, "--name", "org/cached", "--to", "hf://", "--json", env=env)
    assert published.code == 0, published.err
    assert qreg("cache", "list", "--json").json == []
    pulled = qreg("pull", "hf://org/cached", "--json", env=env)
    assert pulled.code == 0 and pulled.json["verified"]
    events = [json.loads(line) for line in pulled.err.splitlines()]
    moved = [e for e in events if e["event"] == "progress" and e["stage"] == "pulling"]
    assert moved[-1]["done"] == moved[-1]["total"] == pulled.json["bytes"]
    assert moved[-1]["unit"] == "bytes"
    # Offline it is still there, by the same reference and by its digest.
    digest = pulled.json["digest"]
    for reference in ("hf://org/cached", f"org/cached@{digest}"):
        again = qreg("pull", reference, "--offline", "--json")
        assert again.code == 0 and again.json["folder"] == pulled.json["folder"], again.err
    assert qreg("pull", "hf://org/other", "--offline").code == 7
    rows = qreg("cache", "list", "--json").json
    assert [(row["name"], row["digest"]) for row in rows] == [("org/cached", digest)]
    assert qreg("cache", "verify").code == 0
    # What was damaged is found, removed, and comes again.
    shard = Path(pulled.json["folder"], "model.safetensors")
    shard.chmod(0o644)
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    found = qreg("cache", "verify", "--remove", "--json")
    assert found.code == 5 and "model.safetensors" in found.error["details"]
    repaired = qreg("pull", "hf://org/cached", "--json", env=env)
    assert repaired.code == 0, repaired.err
    assert qreg("verify", repaired.json["folder"]).code == 0
    # A pull finds it itself.
    shard.chmod(0o644)
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    mended = qreg("pull", "hf://org/cached", "--json", env=env)
    assert mended.code == 0 and "what is damaged is fetched again" in mended.err, mended.err
    assert qreg("verify", mended.json["folder"]).code == 0
    # So is one whose manifest was lost; and what nothing finds any more is pruned.
    for pruned_before in (False, True):
        lost = Path(mended.json["folder"], "qreg.json")
        lost.unlink()
        if pruned_before:
            assert qreg("cache", "prune").code == 0 and not lost.parent.exists()
        assert qreg("pull", "hf://org/cached", env=env).code == 0 and lost.exists()
    # A place that cannot be asked may have something newer of that name.
    dead = {
        "QREG_SOURCES": "s3://bucket,hf://",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "QREG_ATTEMPTS": "1",
    }
    found = qreg("pull", "org/cached", "--json", env={**env, **dead})
    assert found.code == 7 and "s3://bucket could not be asked" in found.error["message"]
    found = qreg("pull", "org/cached", "--allow-fallback", "--json", env={**env, **dead})
    assert found.code == 0 and "is taken instead" in found.err, found.err
    pinned = qreg("pull", f"org/cached@{digest}", "--json", env={**env, **dead})
    assert pinned.code == 0 and "is taken instead" not in pinned.err
    # Pruning spares what is in use and says what it would do.
    assert qreg("cache", "prune", "--unused", "1d", "--json").json["removed"] == []
    left = Path(pulled.json["folder"].partition("/artifacts/")[0], "partial", "a" * 64)
    left.write_bytes(bytes(50_000))  # by a pull that was killed
    dry = qreg("cache", "prune", "--all", "--dry-run", "--json").json
    shown = qreg("cache", "prune", "--all", "--dry-run").out
    assert "would free" in shown and "freed" not in shown
    assert left.exists() and len(qreg("cache", "list", "--json").json) == 1
    pruned = qreg("cache", "prune", "--all", "--json").json
    assert len(pruned["removed"]) == 1 and pruned["bytes"] >= pulled.json["bytes"] + 50_000
    assert {**dry, "dry_run": False, "removed": 1} == {**pruned, "removed": 1}
    assert qreg("cache", "list", "--json").json == []
    assert qreg("cache", "prune", "--unused", "soon").code == 2


def test_a_part_in_the_cache_is_looked_after_like_a_whole(
    qreg: Run, hub: OwnHub, tmp_path: Path
) -> None:
    env, reference = hub.environment, "hf://org/parts"
    model = write_quantized(tmp_path / "m")
    (model / "LICENSE").write_text("one")
    to = ("--name", "org/parts", "--to", "hf://")
    assert qreg("publish", model, *to, env=env).code == 0
    json_ = ("pull", reference, "--include", "*.json", "--json")
    part = qreg(*json_, env=env).json
    other = qreg("pull", reference, "--include", "README.md", "--json", env=env).json
    assert part["digest"] == other["digest"] and part["folder"] != other["folder"]
    assert [p.name for p in Path(other["folder"]).iterdir() if p.name != "qreg.json"] == [
        "README.md"
    ]
    rows = qreg("cache", "list", "--json").json
    assert {(r["folder"], r["bytes"], r["part"]) for r in rows} == {
        (p["folder"], p["bytes"], True) for p in (part, other)
    }
    assert "part" in qreg("cache", "list").out and qreg("cache", "verify").code == 0
    # Offline just that is there, also as a copy.
    assert qreg(*json_, "--offline").json["folder"] == part["folder"]
    copied = qreg(*json_, "--offline", "--output", tmp_path / "copy")
    assert copied.code == 0 and (tmp_path / "copy" / "config.json").is_file()
    assert qreg("pull", reference, "--offline").code == 7
    assert qreg("pull", reference, "--offline", "--include", "*.safetensors").code == 7
    # Damage is found, and comes again.
    for damage in (lambda f: f.write_text("{}"), lambda f: f.unlink()):
        config = Path(part["folder"], "config.json")
        config.parent.chmod(0o755)
        config.chmod(0o644)
        damage(config)
        assert qreg("cache", "verify").code == 5
        assert qreg(*json_, "--offline").code == 5
        again = qreg(*json_, env=env)
        assert again.code == 0 and json.loads(config.read_text()), again.err
        assert qreg("cache", "verify").code == 0
    # A whole takes its place, and shares its contents.
    whole = qreg("pull", reference, "--json", env=env).json
    assert qreg(*json_, env=env).json["folder"] == whole["folder"]
    same = (
        Path(folder, "config.json").stat().st_ino for folder in (whole["folder"], part["folder"])
    )
    assert len(set(same)) == 1
    assert len(qreg("cache", "prune", "--all", "--json").json["removed"]) == 3
    assert qreg("cache", "list", "--json").json == []
    assert not Path(part["folder"]).exists() and not Path(other["folder"]).exists()


@pytest.mark.parametrize(
    ("scheme", "way"), [("hf", "hf auth login"), ("ms", "MODELSCOPE_API_TOKEN")]
)
def test_a_private_artifact_asked_for_without_a_token(
    qreg: Run, hub: OwnHub, tmp_path: Path, scheme: str, way: str
) -> None:
    model, reference = write_quantized(tmp_path / "m"), f"{scheme}://org/closed"
    to = ("--name", "org/closed", "--to", f"{scheme}://")
    env = {**hub.environment, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    assert qreg("publish", model, *to, env=env).code == 0
    stranger = {**env, "HF_TOKEN": "", "MODELSCOPE_API_TOKEN": ""}
    for command in (["pull", reference], ["inspect", reference]):
        found = qreg(*command, "--json", env=stranger)
        assert found.code == 3 and "Check the name" in found.error["remedy"]
        assert "needs a token" in found.error["remedy"] and way in found.error["remedy"]
    written = qreg("publish", model, *to, "--json", env=stranger)
    assert written.code == 4 and way in written.error["remedy"]
    # With one, its lack is no reason.
    missing = qreg("inspect", f"{reference}@v9", "--json", env=env)
    assert missing.code == 3 and "none was sent" not in missing.error["remedy"]


@pytest.mark.parametrize("scheme", ["hf", "ms"])
def test_the_revisions_of_one_artifact_on_a_hub(
    qreg: Run, hub: OwnHub, tmp_path: Path, scheme: str
) -> None:
    env, name, url = hub.environment, f"org/many-{scheme}", f"{scheme}://"
    digests = []
    for seed in (1, 2):
        model = write_quantized(tmp_path / str(seed), seed)
        to = ("--name", name, "--to", url, "--tag", f"v{seed}", "--json")
        digests.append(qreg("publish", model, *to, env=env).json["digest"])
    rows = qreg("list", name, "--from", url, "--json", env=env).json["artifacts"]
    found = {row["digest"]: set(row["tags"]) for row in rows}
    assert set(found) == set(digests)
    assert "v1" in found[digests[0]] and {"v2"} <= found[digests[1]]
    assert all(row["scheme"] and row["bytes"] for row in rows)
    named = qreg("list", "--from", url, "--json", env=env)
    assert named.code == 2 and f"qreg list ORG/NAME --from {url}" in named.error["remedy"]
    assert qreg("list", "org/none", "--from", url, env=env).code == 3
    # Of the registry, too.
    assert qreg("list", "org/none").code == 3
    assert qreg("publish", model, "--name", name).code == 0
    assert [row["name"] for row in qreg("list", name, "--json").json["artifacts"]] == [name]


def test_what_is_pulled_can_be_planned(qreg: Run, hub: OwnHub, tmp_path: Path) -> None:
    env = hub.environment
    model = write_quantized(tmp_path / "m")
    assert qreg("publish", model, "--name", "org/plan", "--to", "hf://", env=env).code == 0
    early = qreg("plan", "hf://org/plan", "--json", env=env)
    assert early.code == 0 and "org/plan" in early.json["argv"][0]
    assert qreg("pull", "hf://org/plan", env=env).code == 0
    planned = qreg("plan", "hf://org/plan", "--json", env=env)
    assert planned.code == 0, planned.err
    assert planned.json["digest"] == early.json["digest"]
    assert any("/cache/" in word for word in planned.json["argv"][0])


def test_tokens(qreg: Run, tmp_path: Path) -> None:
    store = f"file://{tmp_path}/registry"
    made = qreg("hub", "token", "create", "ci", "--scope", "write", "--store", store, "--json")
    secret = made.json["token"]
    assert qreg("hub", "token", "create", "ci", "--store", store).code == 2
    listed = qreg("hub", "token", "list", "--store", store)
    assert "ci" in listed.out and secret not in listed.out
    assert secret not in (tmp_path / "registry/hub/tokens.json").read_text()
    with own_hub(tmp_path / "registry") as hub:
        headers = {"Authorization": f"Bearer {secret}"}
        url = f"{hub.url}/api/whoami-v2"
        assert requests.get(url, headers=headers, timeout=10).json()["name"] == "ci"
        assert qreg("hub", "token", "revoke", "ci", "--store", store).code == 0
        assert requests.get(url, headers=headers, timeout=10).status_code == 401
    assert qreg("hub", "token", "revoke", "ci", "--store", store).code == 3


def test_hubs_that_cannot_be(qreg: Run, hub: OwnHub, tmp_path: Path) -> None:
    port = hub.url.rpartition(":")[2]
    taken = qreg("hub", "serve", "--port", port, "--store", f"file://{tmp_path}/r", "--json")
    assert taken.code == 2 and "cannot be listened on" in taken.error["message"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    foreign = qreg("hub", "serve", "--store", f"file://{tmp_path}/mine", "--json")
    assert foreign.code == 2 and "neither empty nor a registry" in foreign.error["message"]
    other = qreg("hub", "serve", "--store", "hf://", "--json")
    assert other.code == 6 and "cannot be served" in other.error["message"]


def test_a_whole_registry_is_verified(qreg: Run, tmp_path: Path) -> None:
    to = ("--to", f"file://{tmp_path}/r")
    for seed in (1, 2):
        model = write_quantized(tmp_path / str(seed), seed)
        assert qreg("publish", model, "--name", f"org/m{seed}", *to).code == 0
    every = ("verify", "--all", "--from", f"file://{tmp_path}/r", "--json")
    assert [row["name"] for row in qreg(*every).json] == ["org/m1", "org/m2"]
    shard = next((tmp_path / "r" / "artifacts" / "org" / "m2").rglob("model.safetensors"))
    shard.chmod(0o644)
    shard.write_bytes(b"?" + shard.read_bytes()[1:])
    found = qreg(*every)
    assert found.code == 5 and "org/m2" in found.error["details"]
    assert "org/m1" not in found.error["details"] and str(tmp_path) in found.error["remedy"]
    assert qreg("publish", model, "--name", "org/m2", *to).code == 0
    assert qreg(*every).code == 0
    for wrong in (("verify",), ("verify", "org/m1", "--all"), ("verify", "x", "--from", "hf://")):
        assert qreg(*wrong).code == 2
    assert qreg("verify", "--all", "--from", f"file://{tmp_path}/none").code == 2
