"""What holds for any input, sound or hostile: headers, indexes, descriptions, configurations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.checkpoint import Tensor, read_checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.safetensors import DTYPE_BITS, BrokenShard, Header, read_header
from registry.errors import QregError
from registry.folder import scan_folder
from registry.names import check_path
from registry.source import LocalSource
from tests.checkpoints import CONFIG, write_model
from tests.fuzz.invariants import TARGETS, check_facts, examine
from tests.fuzz.memory import ForbiddenRead, MemorySource
from tests.fuzz.mutation import Choices, dumped
from tests.fuzz.regressions import BROKEN, COSTLY
from tests.fuzz.seeds import DESCRIPTION, INDEX, MANIFEST, SEEDS, SHARD, json_bytes, shard_of
from tests.fuzz.shapes import mutate_file, with_data
from tests.fuzz.strategies import (
    ANY_JSON,
    Tensors,
    entries_of,
    file_of,
    objects,
    one_fault,
    tensors,
)

ROOT = Path(__file__).parents[3]


def examples(number: int) -> Callable[[Any], Any]:
    """The same inputs in each run, and no clock: a slow machine is no failure."""
    return settings(
        max_examples=number,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def _read(content: bytes, expect: int = 8) -> Header:
    def read(offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(content), "a read beyond the file's end"
        return content[offset : offset + length]

    return read_header("x", len(content), read, expect=expect)


# Headers


@examples(300)
@given(tensors(), st.booleans(), st.sampled_from((None, 1, 4)), st.integers(0, 3000), st.data())
def test_any_tensors_are_read_back(
    whole: Tensors, ascii_only: bool, indent: int | None, expect: int, data: st.DataObject
) -> None:
    entries, size = entries_of(whole)
    metadata = data.draw(st.none() | st.dictionaries(st.text(max_size=8), st.text(max_size=8)))
    header = entries if metadata is None else {"__metadata__": metadata, **entries}
    text = json.dumps(header, ensure_ascii=ascii_only, indent=indent).encode()
    text += b" " * data.draw(st.integers(0, 9))
    found = _read(file_of(text, size), expect)
    assert found.size == 8 + len(text)
    assert {tensor.name: tensor for tensor in found.tensors} == {
        name: Tensor(name, dtype, shape, prod(shape) * DTYPE_BITS[dtype] // 8, "x")
        for name, (dtype, shape) in whole.items()
    }


@examples(1000)
@given(one_fault(), st.sampled_from((0, 8, 100, 10_000)))
def test_one_fault_is_refused_or_makes_another_sound_file(content: bytes, expect: int) -> None:
    wanted = _reference(content)
    try:
        found = _read(content, expect)
    except BrokenShard:
        assert wanted is None, "a sound file was refused"
    else:
        assert found.size + sum(tensor.size for tensor in found.tensors) == len(content)
        assert wanted == {t.name: (t.dtype, t.shape, t.size) for t in found.tensors}


def _reference(content: bytes) -> dict[str, tuple[str, tuple[int, ...], int]] | None:
    """The tensors of a sound file, by the shortest reader that is strict; None for any other."""
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length]
    if len(content) < 8 or len(header) < length:
        return None
    try:
        entries = json.loads(header, object_pairs_hook=_unique)
        spans = []
        for name, entry in entries.items():
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            assert isinstance(shape, list) and len(shape) <= 32
            assert all(type(number) is int for number in (*shape, begin, end))
            assert all(0 <= number < 2**63 for number in shape)
            assert prod(shape) * DTYPE_BITS[dtype] == 8 * (end - begin)
            spans.append((begin, end, name, dtype, tuple(shape)))
        reached = 0
        for begin, end, *_ in sorted(spans):
            assert begin == reached
            reached = end
        assert reached == len(content) - 8 - length
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError):
        return None
    return {name: (dtype, shape, end - begin) for begin, end, name, dtype, shape in spans}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize(
    "header",
    [
        r'{"a": {"dtype": "I8", "\u0064type": "U8", "shape": [4], "data_offsets": [0, 4]}}',
        '{"a": 0, "a": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}',
        '{"__metadata__": {"format": "pt"}, "a": "z", '
        '"a": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}',
        '{"__metadata__": {}, "a": 0, "a": 0, "a": 0, "a": 0, '
        '"a": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}',
        r'{"a": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}, '
        r'"\u0061": {"\u0064type": "U8", "\u0073hape": [4], "\u0064ata_offsets": [0, 4]}}',
    ],
)
def test_a_key_that_is_there_twice_is_refused_however_it_is_written(header: str) -> None:
    """Which of the two counts differs from reader to reader."""
    with pytest.raises(BrokenShard, match="twice"):
        _read(with_data(header.encode()))


def test_no_tensor_is_called_like_the_metadata() -> None:
    entry = r'{"\u005f_metadata__": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}'
    with pytest.raises(BrokenShard):
        _read(file_of(entry.encode(), 4))


# Whole artifacts

_KEYS = (
    *CONFIG, "text_config", "quantization_config", "rope_scaling", "rope_parameters", "layer_types",
    "auto_map", "compress_ratios", "mlp_only_layers", "moe_layers", "num_experts", "kv_lora_rank",
    "first_k_dense_replace", "decoder_sparse_step", "full_attention_interval", "sliding_window",
)  # fmt: skip
_METHOD_KEYS = (
    "quant_method", "bits", "group_size", "version", "fmt", "quant_algo", "ignore", "format",
    "config_groups", "kv_cache_scheme", "weight_block_size", "zero_point", "load_in_4bit",
    "modules_to_not_convert", "transform_config",
)  # fmt: skip
_FILES: dict[str, st.SearchStrategy[Any]] = {
    "config.json": objects(*_KEYS).map(lambda found: {**CONFIG, **found}),
    INDEX: st.fixed_dictionaries({"weight_map": objects("lm_head.weight", "model.norm.weight")}),
    DESCRIPTION: objects(
        "version", "model_quant_type", "group_size", "optional", "metadata", "kv_cache_type",
        "max_supported_tp", "lm_head.weight", "model.layers.0.mlp.up_proj.weight", "x.quant_type",
    ),
    "tokenizer_config.json": objects("auto_map", "chat_template"),
    "generation_config.json": objects("eos_token_id"),
    MANIFEST: objects("schema_version", "files", "digest", "name", "evidence", "provenance"),
}  # fmt: skip


@pytest.mark.parametrize("path", _FILES)
@examples(100)
@given(data=st.data())
def test_any_json_in_any_file_gives_findings_or_our_errors(path: str, data: st.DataObject) -> None:
    value = data.draw(_FILES[path] | ANY_JSON)
    seed = data.draw(st.sampled_from(("float", "modelslim", "compressed-tensors")))
    examine(
        MemorySource({**SEEDS[seed](), path: dumped(value)}), data.draw(st.sampled_from(TARGETS))
    )


@examples(150)
@given(keys=objects(*_METHOD_KEYS), seed=st.sampled_from(sorted(SEEDS)), data=st.data())
def test_any_quantization_config(keys: dict[str, Any], seed: str, data: st.DataObject) -> None:
    method = data.draw(
        st.sampled_from(("compressed-tensors", "fp8", "awq", "gptq", "bitsandbytes"))
    )
    config = {**CONFIG, "quantization_config": {"quant_method": method, **keys}}
    examine(MemorySource({**SEEDS[seed](), "config.json": dumped(config)}))


@examples(100)
@given(st.sampled_from(sorted(_FILES)), st.binary(max_size=60), st.booleans())
def test_any_bytes_in_any_file(path: str, content: bytes, local: bool) -> None:
    examine(MemorySource({**SEEDS["modelslim"](), path: content, SHARD: content}, local=local))


@pytest.mark.parametrize("seed", SEEDS)
@examples(150)
@given(data=st.data())
def test_sound_artifacts_changed_at_some_places(seed: str, data: st.DataObject) -> None:
    files = dict(SEEDS[seed]())
    paths = [path for path in files if path.endswith((".json", ".safetensors"))]
    for _ in range(data.draw(st.integers(1, 3))):
        steps = Choices(data.draw(st.binary(min_size=8, max_size=24)))
        mutate_file(files, data.draw(st.sampled_from(paths)), steps)
    examine(MemorySource(files), data.draw(st.sampled_from(TARGETS)))


@examples(200)
@given(objects(*_KEYS))
def test_an_architecture_is_facts_that_json_holds(config: dict[str, Any]) -> None:
    found = read_architecture(config)
    json.dumps(found.to_json(), allow_nan=False)
    assert found.kv_bytes_per_token is None or found.kv_bytes_per_token >= 0
    assert sum(found.layer_types.values()) >= 0


@examples(80)
@given(whole=tensors(), config=objects(*_KEYS, *_METHOD_KEYS))
def test_the_footprint_sums_whatever_the_names_are(whole: Tensors, config: dict[str, Any]) -> None:
    shard = shard_of({name: (dtype, list(shape)) for name, (dtype, shape) in whole.items()})
    facts = examine(MemorySource({"config.json": dumped(config), SHARD: shard}))
    assert facts is not None and set(facts.checkpoint.tensors) == set(whole)
    check_facts(facts)


@pytest.mark.parametrize("name", BROKEN)
def test_what_once_broke_a_reader(name: str) -> None:
    for target in TARGETS[:2]:
        examine(MemorySource(BROKEN[name]()), target)


@pytest.mark.parametrize("name", COSTLY)
def test_what_once_cost_far_more_than_it_weighs(name: str) -> None:
    """In a process of its own, with 2 GiB and 20 seconds."""
    command = [sys.executable, "-m", "tests.fuzz.regressions", name]
    subprocess.run(command, cwd=ROOT, check=True, timeout=20)


# Names

_OUTSIDE = (
    "../secret.safetensors", "/etc/passwd", "a/../../secret.safetensors", "./model.safetensors",
    "x\0.safetensors", "x" * 4096, "a\\..\\b", "", ".", "..", "\ud800.safetensors",
    "\x9b.safetensors", "C:/x.safetensors", "file:///etc/passwd", "nothing.safetensors", "a//b",
    "CON\n", "~/x",
)  # fmt: skip


@examples(100)
@given(st.lists(st.sampled_from(_OUTSIDE) | st.text(st.characters()), min_size=1, max_size=4))
def test_no_name_in_a_file_is_read_unless_it_is_listed(names: list[str]) -> None:
    described = dict.fromkeys(names, "W8A8")
    entries = [{"path": name, "size": 1, "sha256": "0" * 64} for name in names]
    files = {
        **SEEDS["float"](),
        INDEX: json_bytes({"weight_map": {**described, **{name: name for name in names}}}),
        DESCRIPTION: json_bytes(described),
        MANIFEST: json_bytes({"schema_version": 1, "digest": "sha256:0", "files": entries}),
        "tokenizer_config.json": json_bytes({"auto_map": {"AutoTokenizer": names}}),
    }
    source = MemorySource(files, local=True)
    examine(source)
    assert {path for path, _, _ in source.reads} <= files.keys()


@examples(100)
@given(st.sampled_from(_OUTSIDE) | st.text(st.characters(), max_size=30))
def test_a_path_is_let_in_or_refused_with_our_error(path: str) -> None:
    try:
        check_path(path)
    except QregError as error:
        error.message.encode()
        assert error.message.isprintable()
    else:
        assert (Path("/artifact") / path).resolve().is_relative_to("/artifact")
        os.fsencode(path)


def test_the_source_of_these_tests_notices_what_it_should() -> None:
    source = MemorySource({"a": b"1234"})
    for path, offset, length in (("b", 0, 1), ("a", 2, 3), ("a", -1, 1)):
        with pytest.raises(ForbiddenRead):
            source.read(path, offset, length)


def test_an_index_brings_in_nothing_from_outside_of_a_real_folder(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(shard_of({"secret": ("I8", [4])}))
    for name in ("../secret.safetensors", str(secret)):
        (model / INDEX).write_text(json.dumps({"weight_map": {"secret": name}}))
        found = read_checkpoint(model)
        assert "secret" not in found.tensors
        assert [fault.kind for fault in found.faults] == ["path"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
def test_a_folder_with_a_name_that_is_no_text(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    (Path(os.fsdecode(os.fsencode(model) + b"/\xff.txt"))).touch()
    entry = next(entry for entry in scan_folder(model) if entry.path.endswith(".txt"))
    assert entry.problem
    entry.problem.encode()
    assert [fault.kind for fault in read_checkpoint(LocalSource(model)).faults] == ["path"]


def test_folders_in_folders_without_end(tmp_path: Path) -> None:
    parent = os.open(write_model(tmp_path / "model"), os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=parent)
        inner = os.open("d", os.O_RDONLY, dir_fd=parent)
        os.close(parent)
        parent = inner
    os.close(parent)
    try:
        assert {entry.path for entry in scan_folder(tmp_path / "model")} >= {
            "config.json",
            SHARD,
        }
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "model")], check=True)
