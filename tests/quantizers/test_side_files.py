"""Files that quantizers drop."""

from __future__ import annotations

from pathlib import Path

from quantizers.side_files import complete_side_files
from tests.checkpoints import write_model


def test_dropped_files_are_completed_and_modes_made_sane(tmp_path: Path) -> None:
    source, output = write_model(tmp_path / "s"), write_model(tmp_path / "o")
    for name in ("generation_config.json", "modeling_x.py", "LICENSE", "vocab.txt", "weights.bin"):
        (source / name).write_text("1")
    (source / "model.safetensors.index.json").write_text("{}")
    (source / "README.md").write_text("the base's card")
    (output / "tokenizer.json").write_text("the tool's own")
    (output / "model.safetensors").chmod(0o600)
    copied = complete_side_files(source, output)
    assert sorted(copied) == ["LICENSE", "generation_config.json", "modeling_x.py", "vocab.txt"]
    assert (output / "tokenizer.json").read_text() == "the tool's own"
    assert {p.stat().st_mode & 0o777 for p in output.iterdir()} == {0o644}
