"""Files that run, or that run code when they are loaded."""

from __future__ import annotations

from pathlib import Path

from tests.lint_cases import Artifact, Change, compressed, floating, made, modelslim
from tests.registry.lint.cases.case import Case
from tests.registry.lint.cases.changes import configure, finish, put
from tests.twins.write import write_sparse_shard

_SHARD = "quant_model_weights-00001-of-00002.safetensors"
_PICKLE = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94."
_OLD_PICKLE = b"ccollections\nOrderedDict\np0\n(tRp1\n."
_WORDS = b"collections\nOrderedDict\np0\nregistry\n"  # a list, which begins as that does
_ELF = b"\x7fELF\x02\x01\x01" + bytes(32)
_SCRIPT = b"#!/bin/sh\nexec vllm serve .\n"
_CODE = {"AutoConfig": "configuration_novel.NovelConfig"}


def _padded(folder: Path) -> None:
    """A sound safetensors file whose header is 640 bytes long: it begins as a pickle does."""
    path = folder / "optional" / "rotation.safetensors"
    path.parent.mkdir()
    write_sparse_shard(path, {"rotation": ("F32", (4, 4))})
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + length].ljust(640)
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])


def _over(path: str, content: bytes) -> Artifact:
    """A model of which one file holds something else."""
    return made(modelslim, finish(lambda folder: (folder / path).write_bytes(content)))


def _marked(path: str, content: bytes) -> Change:
    """Add a file that is marked executable."""

    def act(folder: Path) -> None:
        (folder / path).write_bytes(content)
        (folder / path).chmod(0o755)

    return finish(act)


CASES = {
    "pickle-disguised": [
        Case(
            "a pickle named .safetensors",
            _over(_SHARD, _PICKLE),
            _over("training_args.bin", _PICKLE),
            where=_SHARD,
            says="pickle",
        ),
        Case(
            "torch's archive as a tokenizer",
            _over("tokenizer.model", b"PK\x03\x04" + bytes(60)),
            _over("calibration.jsonl.gz", b"\x1f\x8b" + bytes(60)),
            where="tokenizer.model",
            says="archives",
        ),
        Case(
            "a pickle as a second weights file",
            _over("extra.safetensors", _PICKLE),
            made(modelslim, finish(_padded)),
            where="extra.safetensors",
            says="pickle",
        ),
        Case(
            # Protocol 0, which is text and has no first byte of its own.
            "an old pickle as data",
            _over("weights.dat", _OLD_PICKLE),
            _over("vocab.txt", _WORDS),
            where="weights.dat",
            says="pickle",
        ),
    ],
    "pickle": [
        Case(
            "a pickle beside the weights",
            made(floating, put("pytorch_model.bin", _PICKLE)),
            made(floating, put("pytorch_model.bin.index.json", "{}")),
            "warning",
            "pytorch_model.bin",
        ),
        Case(
            "in capitals",
            made(floating, put("MODEL.BIN", _PICKLE)),
            made(floating, put("BINARY.TXT", "A word.")),
            "warning",
            "MODEL.BIN",
        ),
        Case(
            "of a library that pickles more than pickle does",
            made(floating, put("calibration.dill", _PICKLE)),
            made(floating, put("calibration.jsonl", "{}")),
            "warning",
            "calibration.dill",
        ),
    ],
    "executable": [
        Case(
            "a library",
            made(compressed, put("kernel.so", _ELF)),
            made(compressed, put("kernel.py", "#!/usr/bin/env python3\n")),
            "warning",
            "kernel.so",
        ),
        Case(
            "a program without an ending",
            made(compressed, put("run", _ELF)),
            made(compressed, put("run", "#!/bin/sh\nexec vllm serve .\n")),
            "warning",
            "run",
        ),
        Case(
            "a library with a version",
            made(compressed, put("libnovel.so.1", "")),
            made(compressed, put("notes.so.far.txt", "")),
            "warning",
            "libnovel.so.1",
        ),
        Case(
            "a script that is marked executable",
            made(compressed, _marked("install.sh", _SCRIPT)),
            made(compressed, _marked("LICENSE", b"#1: Apache 2.0")),
            "warning",
            "install.sh",
            "marked executable",
        ),
        Case(
            "Python that is no code of the model",
            made(compressed, _marked("setup.py", b"#!/usr/bin/env python3\n")),
            made(
                compressed,
                configure(auto_map=_CODE),
                put("configuration_novel.py", "from .shapes import SHAPES\n"),
                _marked("shapes.py", b"#!/usr/bin/env python3\nSHAPES = ()\n"),
            ),
            "warning",
            "setup.py",
        ),
    ],
}
