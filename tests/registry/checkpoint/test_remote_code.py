"""Which Python code a model brings, by its files and by what its configuration names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.checkpoint.remote_code import code_of, trusted_code
from registry.errors import NotAllowedError
from registry.progress import Event, Note


def write(folder: Path, **configs: object) -> Path:
    for name, value in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def test_files_names_and_one_digest(tmp_path: Path) -> None:
    assert not code_of(write(tmp_path, config={"model_type": "qwen3"})).wanted
    (tmp_path / "modeling.py").write_text("import helper")
    (tmp_path / "t.py").write_text("")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "helper.py").write_text("")
    nested = {"text_config": {"auto_map": {"AutoModel": "modeling.Model"}}}
    write(tmp_path, config=nested, tokenizer_config={"auto_map": {"AutoTokenizer": ["t.T", None]}})
    found = code_of(tmp_path)
    assert [entry.path for entry in found.files] == ["modeling.py", "parts/helper.py", "t.py"]
    assert found.names == ("modeling.Model", "t.T") and found.foreign == ()
    assert "modeling.py" in str(found) and str(found.digest) in str(found)
    # Code that nothing names counts, too: what is named imports it.
    (tmp_path / "parts" / "helper.py").write_text("x = 1")
    assert code_of(tmp_path).digest != found.digest


@pytest.mark.parametrize("config", ["config", "tokenizer_config", "preprocessor_config"])
def test_code_of_another_repository_is_not_trusted(tmp_path: Path, config: str) -> None:
    (tmp_path / "modeling.py").write_text("")
    write(tmp_path, config={"auto_map": {"AutoModel": "modeling.Model"}})
    events: list[Event] = []
    assert trusted_code(tmp_path, "test/own", events.append).files
    assert [note.text for note in events if isinstance(note, Note) and "modeling.py" in note.text]
    write(tmp_path, **{config: {"auto_map": {"AutoModel": "org/other--modeling.Model"}}})
    with pytest.raises(NotAllowedError, match="org/other--modeling"):
        trusted_code(tmp_path, "test/own", events.append)


def test_what_is_no_configuration_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auto_map": {"a": "b.C"')
    write(tmp_path, generation_config={"auto_map": [None, {}]}, other={"auto_map": {"a": "b.C"}})
    assert not code_of(tmp_path).wanted
    write(tmp_path, tokenizer_config={"auto_map": ["b.Slow", None]})  # as tokenizers of old
    assert code_of(tmp_path).foreign == ("b.Slow",)  # there is no such file
    (tmp_path / "b.py").write_text("")
    assert code_of(tmp_path).names == ("b.Slow",)
