"""Publishing, resolving, pulling and verifying, on folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.config import Settings
from registry.errors import IntegrityError, NotFoundError, TransferError, UsageError
from registry.payload import MANIFEST_FILE
from registry.resolve import resolve
from registry.transfer.publishing import publish
from registry.transfer.pulling import pull
from tests.checkpoints import write_quantized

NAME = "org/model"


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_what_is_pulled_is_what_was_published(settings: Settings, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    before = _tree(folder)
    done = publish(folder, settings, name=NAME, tags=["v1"])
    assert _tree(folder) == before
    pulled = pull(f"{NAME}@v1", settings, output=tmp_path / "copy")
    copied = _tree(pulled.folder)
    assert copied.pop(MANIFEST_FILE) == done.manifest.to_bytes()
    assert b"base_model" not in copied["README.md"]  # nothing is known of one
    assert b"W8A8_DYNAMIC" in copied.pop("README.md")  # the card, as the folder has none
    assert copied == before
    assert (tmp_path / "copy" / "config.json").stat().st_mode & 0o200


def test_every_way_to_name_it_finds_the_same(settings: Settings, tmp_path: Path) -> None:
    done = publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    digest, home = done.manifest.digest, settings.data / "registry"
    for text in (
        NAME,
        f"{NAME}@latest",
        f"{NAME}@{digest}",
        f"file://{home}/{NAME}",
        f"file://{home}/{NAME}@{digest}",
        done.reference,
        f"{home}/artifacts/{NAME}/{digest.hex}",
        "models:/org--model@current",
        "models:/org/model@current",
        f"{home}/artifacts/{NAME}/{digest.hex}",
        "models:/org--model/1",
        str(tmp_path / "m"),
    ):
        assert resolve(text, settings).manifest().digest == digest, text


def test_a_pin_of_another_digest_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    publish(folder, settings, name=NAME)
    other = "sha256:" + "0" * 64
    with pytest.raises(IntegrityError, match=f"no revision {other} in"):
        pull(f"{NAME}@{other}", settings)
    with pytest.raises(IntegrityError, match="is pinned"):
        resolve(f"models:/org--model@{other}", settings)
    with pytest.raises(NotFoundError, match="no revision 'v1'"):
        resolve(f"file://{folder}@v1", settings)
    with pytest.raises(IntegrityError, match="is pinned"):
        resolve(f"file://{folder}@{other}", settings)


def test_damage_is_found_wherever_it_is(settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    pulled = pull(NAME, settings)
    shard = pulled.folder / "model.safetensors"
    shard.chmod(0o644)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(IntegrityError, match="content has changed"):
        pull(NAME, settings)
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        pull(NAME, settings, output=tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_verification_is_remembered(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    pull(NAME, settings)
    again = "registry.transfer.verification.verify"
    monkeypatch.setattr(again, lambda *_: pytest.fail("read again"))
    pull(NAME, settings)


def test_a_file_that_was_slipped_in_is_found(settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    folder = pull(NAME, settings).folder
    (folder / "modeling_evil.py").write_text("1")
    with pytest.raises(IntegrityError, match="not in the manifest"):
        pull(NAME, settings)


def test_a_registry_inside_the_source_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    before = _tree(folder)
    with pytest.raises(UsageError, match="lies inside"):
        publish(folder, settings, name=NAME, to=f"file://{folder}/registry")
    assert _tree(folder) == before


@pytest.mark.parametrize("name", ["qreg.json", "README.md"])
def test_a_folder_in_place_of_a_file_of_qreg_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = write_quantized(tmp_path / "m")
    (folder / name).mkdir()
    (folder / name / "x").touch()
    hashed = "registry.transfer.publishing.describe_folder"
    monkeypatch.setattr(hashed, lambda *_, **__: pytest.fail("hashed"))
    with pytest.raises(UsageError, match=f"{name} is a folder"):
        publish(folder, settings, name=NAME)
    assert not (settings.data / "registry").exists()


def test_a_registry_inside_another_model_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    other = write_quantized(tmp_path / "other")
    for left in ("config.json", "model.safetensors"):
        with pytest.raises(UsageError, match="which is a model"):
            publish(folder, settings, name=NAME, to=f"file://{other}/sub/registry")
        (other / left).unlink()
    (other / "config.json").write_text('{"port": 80}')  # of another program
    publish(folder, settings, name=NAME, to=f"file://{other}/sub/registry")


def test_a_destination_that_cannot_be_written_does_not_stop_the_others(
    settings: Settings, tmp_path: Path
) -> None:
    folder = write_quantized(tmp_path / "m")
    bad, good = "file:///proc/x", f"file://{tmp_path}/good"
    with pytest.raises(TransferError, match=r"to file:///proc/x failed") as caught:
        publish(folder, settings, name=NAME, to=[bad, good])
    assert f"published: {good}/{NAME}@" in caught.value.details
    assert f"failed: {bad}: " in caught.value.details
    assert pull(f"{good}/{NAME}", settings).folder.is_dir()


def test_names_are_needed_and_checked(settings: Settings, tmp_path: Path) -> None:
    folder = write_quantized(tmp_path / "m")
    with pytest.raises(UsageError, match=r"names it"):
        publish(folder, settings)
    with pytest.raises(UsageError, match="not a valid artifact name"):
        publish(folder, settings, name="../evil")
    with pytest.raises(NotFoundError, match="not in the registry"):
        pull("org/unknown", settings)


def test_a_folder_that_its_manifest_contradicts(settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    copy = pull(NAME, settings, output=tmp_path / "copy").folder
    shard = copy / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        publish(copy, settings)
    anew = publish(copy, settings, describe_anew=True)
    assert anew.manifest.name == NAME and anew.manifest.provenance == {}


@pytest.mark.parametrize("alias", ["latest", "v9", "a b", "", "a/b"])
def test_aliases_that_mlflow_would_refuse(settings: Settings, tmp_path: Path, alias: str) -> None:
    with pytest.raises(UsageError, match="not a valid alias"):
        publish(write_quantized(tmp_path / "m"), settings, name=NAME, alias=alias)


def test_outputs_stay_out_of_models_and_registries(settings: Settings, tmp_path: Path) -> None:
    model = write_quantized(tmp_path / "m")
    publish(model, settings, name=NAME)
    for output in (model / "in", settings.data / "registry" / "x" / "y"):
        with pytest.raises(UsageError, match="lies inside"):
            pull(NAME, settings, output=output)
    with pytest.raises(UsageError, match="is a file"):
        pull(NAME, settings, output=model / "config.json" / "x")


def test_an_output_that_holds_something_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    publish(write_quantized(tmp_path / "m"), settings, name=NAME)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("1")
    with pytest.raises(UsageError, match="not empty"):
        pull(NAME, settings, output=tmp_path / "full")
    assert _tree(tmp_path / "full") == {"mine": b"1"}


def test_names_that_a_file_system_does_not_tell_apart(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_quantized(tmp_path / "m")
    (folder / "Notes.txt").write_text("one")
    (folder / "notes.txt").write_text("another")
    publish(folder, settings, name="org/model")
    assert (pull("org/model", settings, output=tmp_path / "both").folder / "notes.txt").is_file()

    def found(path: Path) -> bool:  # as on Windows and macOS
        return path.name.lower() in {p.name.lower() for p in path.parent.iterdir()}

    monkeypatch.setattr("registry.staging.os.path.lexists", found)
    with pytest.raises(IntegrityError, match="have one name"):
        pull("org/model", settings, output=tmp_path / "one")
    assert not (tmp_path / "one").exists()
