"""Who may do what on the hub: tokens, their scopes, and addresses that end with them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from registry.errors import UsageError
from registry.hub.access import ANYONE, Access, Token
from registry.hub.scopes import READ, WRITE, Scope
from tests.conftest import Run
from tests.own_hub import own_hub
from tests.registry.hub.test_cleaning import without_xet  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.usefixtures("without_xet"),
]


@pytest.mark.parametrize(
    ("scope", "reads", "writes"),
    [
        ("read", {"acme/m", "acme/n", "other/m"}, set()),
        ("write", {"acme/m", "acme/n", "other/m"}, {"acme/m", "acme/n", "other/m"}),
        ("admin", {"acme/m", "acme/n", "other/m"}, {"acme/m", "acme/n", "other/m"}),
        ("read:acme/*", {"acme/m", "acme/n"}, set()),
        ("write:acme/*", {"acme/m", "acme/n"}, {"acme/m", "acme/n"}),
        ("write:acme/m,read:other/*", {"acme/m", "other/m"}, {"acme/m"}),
        ("", set(), set()),
    ],
)
def test_what_scopes_allow(scope: str, reads: set[str], writes: set[str]) -> None:
    names, token = ("acme/m", "acme/n", "other/m"), Token("x", scope, "")
    assert {name for name in names if token.may(READ, name)} == reads
    assert {name for name in names if token.may(WRITE, name)} == writes


@pytest.mark.parametrize(
    "text", ["", "root", "write:", "write:*", "write:acme", "read:a*/m", "read:../*", "admin:a/*"]
)
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(UsageError, match="is no scope"):
        Scope.parse(text)


def test_addresses_end_with_their_token(tmp_path: Path) -> None:
    access = Access(tmp_path)
    writer = access.who(access.issue("build", "write"))
    assert writer is not None
    address = access.signer(writer)("/upload/x?name=a/b")
    assert access.signed_for(address) == writer
    assert access.signed_for(address.replace("a/b", "a/c")) is None
    assert access.signed_for(access.signer(ANYONE)("/upload/x?name=a/b")) is None
    access.revoke("build")
    assert access.signed_for(address) is None


def test_an_empty_secret_is_not_signed_with(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    Access(tmp_path).signer(ANYONE)("/upload/x?name=a/b")
    assert len((tmp_path / "secret").read_bytes()) == 32


def test_a_token_for_a_namespace_reaches_no_other(tmp_path: Path, qreg: Run) -> None:
    with own_hub(tmp_path / "registry") as hub:
        token = qreg(
            *("hub", "token", "create", "acme-build", "--scope", "write:acme/*", "--quiet"),
            *("--store", hub.store),
        ).out.strip()
        all_, acme = HfApi(hub.url, hub.writer), HfApi(hub.url, token)
        all_.create_repo("other/m", private=True)
        all_.create_repo("other/public", private=False)
        acme.create_repo("acme/m")
        _commit(acme, "acme/m")
        assert [model.id for model in acme.list_models()] == ["acme/m", "other/public"]
        for refused in (
            lambda: acme.create_repo("other/n"),
            lambda: _commit(acme, "other/public"),
            lambda: acme.delete_repo("other/public"),
            lambda: acme.update_repo_settings("other/public", private=True),
            lambda: acme.create_tag("other/public", tag="v1"),
        ):
            with pytest.raises(HfHubHTTPError) as caught:
                refused()
            assert caught.value.response.status_code == 403
        with pytest.raises(RepositoryNotFoundError):
            acme.model_info("other/m")


def _commit(api: HfApi, name: str) -> None:
    api.create_commit(name, [CommitOperationAdd("a.txt", b"x")], commit_message="x")


def test_settings_change_only_what_they_name(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as hub:
        api = HfApi(hub.url, hub.writer)
        api.create_repo("acme/m", private=True)

        def put(body: str) -> int:
            return requests.put(
                f"{hub.url}/api/models/acme/m/settings",
                data=body,
                headers={
                    "Authorization": f"Bearer {hub.writer}",
                    "Content-Type": "application/json",
                },
                timeout=30,
            ).status_code

        with pytest.raises(HfHubHTTPError, match="gated"):
            api.update_repo_settings("acme/m", gated="auto")
        assert put("{}") == 200
        assert put('{"gated": false}') == 200
        for body in ('{"private": null}', '{"visibility": "secret"}', '{"visiblity": "public"}'):
            assert put(body) == 400, body
        assert put('{"private": false, "gated": "manual"}') == 400
        assert api.model_info("acme/m").private
        api.update_repo_settings("acme/m", private=False)
        assert not api.model_info("acme/m").private


def test_whoever_knows_an_open_hub_may_use_it_with_any_token(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry", "--open") as hub:
        HfApi(hub.url, "hf_of_another_hub").create_repo("acme/m")
        assert HfApi(hub.url, False).model_info("acme/m").id == "acme/m"


def test_files_of_a_hub_are_as_private_as_its_folder(tmp_path: Path) -> None:
    with own_hub(tmp_path / "registry") as hub:
        api = HfApi(hub.url, hub.writer)
        api.create_repo("acme/m")
        _commit(api, "acme/m")
    registry = tmp_path / "registry"
    assert (registry / "hub").stat().st_mode & 0o777 == 0o700
    for path in (*registry.glob("blobs/*/*"), registry / "hub" / "tokens.json"):
        assert path.stat().st_mode & 0o007 == 0, path


def test_knowing_a_sha256_is_not_enough_to_get_a_file_of_others(tmp_path: Path) -> None:
    secret = b"weights that nobody else has" * 1000
    with own_hub(tmp_path / "registry", "--part-size", "10000") as hub:
        all_ = HfApi(hub.url, hub.writer)
        all_.create_repo("other/m")
        all_.upload_file(path_or_fileobj=secret, path_in_repo="a.bin", repo_id="other/m")
        thief = HfApi(hub.url, Access(hub.folder / "hub").issue("thief", "write:acme/*"))
        thief.create_repo("acme/m")
        oid, size = hashlib.sha256(secret).hexdigest(), len(secret)
        asked = {"operation": "upload", "objects": [{"oid": oid, "size": size}]}
        headers = {"Authorization": f"Bearer {thief.token}"}
        batch = requests.post(
            f"{hub.url}/acme/m.git/info/lfs/objects/batch",
            json=asked,
            headers=headers,
            timeout=30,
        )
        upload = batch.json()["objects"][0]["actions"]["upload"]
        assert requests.post(upload["href"], json={}, timeout=30).status_code == 400
        value = {"path": "a.bin", "oid": oid, "size": size, "algo": "sha256"}
        lines = [{"key": "header", "value": {"summary": "x"}}, {"key": "lfsFile", "value": value}]
        commit = requests.post(
            f"{hub.url}/api/models/acme/m/commit/main",
            data="\n".join(map(json.dumps, lines)),
            headers={**headers, "Content-Type": "application/x-ndjson"},
            timeout=30,
        )
        assert commit.status_code == 400 and "never uploaded" in commit.text
        # Whoever has the bytes may commit them, and they are kept once.
        thief.upload_file(path_or_fileobj=secret, path_in_repo="a.bin", repo_id="acme/m")
        assert "a.bin" in thief.list_repo_files("acme/m")
        assert not list((hub.folder / "hub" / "sent").glob("*/*/*"))
    assert len(list(tmp_path.glob(f"registry/blobs/*/{oid}"))) == 1
