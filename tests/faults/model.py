"""Models of a few MB, and folders as dictionaries."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

from tests.checkpoints import CONFIG, FLOAT, header_of

VOCABULARY = 200_000  # rows of 16 bytes: 3.2 MB for each of the two large tensors


def write_source(folder: Path, seed: int, vocabulary: int = VOCABULARY) -> Path:
    """A model in two shards; the first is the same for all seeds, the second for none."""
    folder.mkdir(parents=True)
    tensors = {
        name: (dtype, [vocabulary, *shape[1:]] if shape[0] == CONFIG["vocab_size"] else shape)
        for name, (dtype, shape) in FLOAT.items()
    }
    names = list(tensors)
    weight_map = {}
    for number, part in enumerate((names[:1], names[1:]), 1):
        shard = f"model-0000{number}-of-00002.safetensors"
        header, size = header_of({name: tensors[name] for name in part})
        content = random.Random(seed if number == 2 else -vocabulary).randbytes(size)
        (folder / shard).write_bytes(header + content)
        weight_map.update(dict.fromkeys(part, shard))
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({**CONFIG, "vocab_size": vocabulary}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}" + " " * 50_000)
    return folder


def tree(folder: Path) -> dict[str, str]:
    """The sha256 of each file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
