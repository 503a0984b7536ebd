"""Conversion between the two formats: bit for bit, or refused with the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from quantizers.convert import Converted, convert
from registry.artifact import payload_digest
from registry.checkpoint import open_checkpoint
from registry.checkpoint.data import data_offsets
from registry.config import Settings
from registry.describe import describe_folder
from registry.errors import IncompatibleError, IntegrityError, UsageError
from registry.folder import hash_files, list_files
from registry.lint import lint
from registry.resolve import Resolved
from registry.source import LocalSource
from tests.checkpoints import CONFIG, INT8_CONFIG, quantized_tensors, write_model, write_quantized
from tests.conftest import USER, Run
from tests.quantized import quantized

CT, MODELSLIM = "compressed-tensors", "modelslim"


@pytest.fixture
def made(settings: Settings, tmp_path: Path) -> Any:
    """Converts a folder into a new one below the test's."""

    def make(folder: Path, target: str, name: str = "org/converted") -> Converted:
        output = tmp_path / f"{target}-{len(list(tmp_path.iterdir()))}"
        return convert(Resolved.of_folder(folder), target, name, settings, output=output)

    return make


def contents(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every tensor: its type, shape and bytes."""
    checkpoint = open_checkpoint(folder)
    offsets, source = data_offsets(checkpoint), LocalSource(folder)
    return {
        name: (t.dtype, t.shape, source.read(t.shard, offsets[name], t.size))
        for name, t in checkpoint.tensors.items()
    }


def errors_of(folder: Path) -> list[str]:
    return [f.message for f in lint(LocalSource(folder))[1] if f.severity == "error"]


def test_there_and_back_keeps_every_bit(made: Any, tmp_path: Path) -> None:
    source = write_quantized(tmp_path / "source")
    before = {p: (source / p).read_bytes() for p in list_files(source)}
    slim = made(source, MODELSLIM).folder
    description = json.loads((slim / "quant_model_description.json").read_text())
    assert description["model.layers.0.mlp.up_proj.weight"] == "W8A8_DYNAMIC"
    assert description["model.layers.0.mlp.up_proj.weight_offset"] == "W8A8_DYNAMIC"
    assert description["lm_head.weight"] == "FLOAT"
    assert "quantization_config" not in json.loads((slim / "config.json").read_text())
    new = contents(slim)
    offsets = {name for name in new if name.endswith("weight_offset")}
    assert len(offsets) == 7
    for name in offsets:
        dtype, shape, data = new[name]
        scale = new[name.replace("weight_offset", "weight_scale")]
        assert (dtype, shape) == scale[:2] and not any(data)
    assert {n: v for n, v in new.items() if n not in offsets} == contents(source)

    back = made(slim, CT).folder
    assert contents(back) == contents(source)
    found = json.loads((back / "config.json").read_text())["quantization_config"]
    assert found["ignore"] == ["lm_head"] and found["format"] == "int-quantized"
    assert {p: (source / p).read_bytes() for p in list_files(source)} == before
    assert not errors_of(slim) and not errors_of(back)


def test_every_tensor_is_aligned(made: Any, tmp_path: Path) -> None:
    """Loaders view bytes as elements, which only works where they begin at a multiple."""
    slim = open_checkpoint(made(write_quantized(tmp_path / "s"), MODELSLIM).folder)
    offsets = data_offsets(slim)
    for name, tensor in slim.tensors.items():
        data = offsets[name] - slim.header_sizes[tensor.shard]
        assert data % (tensor.size // tensor.elements) == 0
    assert all(size % 8 == 0 for size in slim.header_sizes.values())


def test_the_result_is_a_derivation(made: Any, tmp_path: Path) -> None:
    source = write_quantized(tmp_path / "source")
    manifest = describe_folder(source, name="org/source", provenance={"recipe": {"name": "r"}})
    (source / "qreg.json").write_bytes(manifest.to_bytes())
    done = made(source, MODELSLIM, "org/slim")
    derived = done.manifest.provenance["derived_from"]
    assert derived == {
        "name": "org/source",
        "digest": str(manifest.digest),
        "by": "qreg convert",
        "from": CT,
        "to": MODELSLIM,
    }
    assert done.manifest.provenance["recipe"] == {"name": "r"}
    files = hash_files(done.folder, list_files(done.folder))
    assert done.manifest.digest == payload_digest(files) and done.manifest.name == "org/slim"
    assert done.manifest.quantization["method"] == "modelslim"
    assert done.manifest.quantization["schemes"] == manifest.quantization["schemes"]


def test_shards_stay_shards(made: Any, tmp_path: Path) -> None:
    source = tmp_path / "s"
    write_quantized(source)
    from tests.checkpoints import write_shard

    tensors = quantized_tensors()
    (source / "model.safetensors").unlink()
    weight_map = {}
    names = sorted(tensors)
    for number, part in enumerate((names[:9], names[9:]), 1):
        shard = f"model-0000{number}-of-00002.safetensors"
        write_shard(source / shard, {name: tensors[name] for name in part})
        weight_map.update(dict.fromkeys(part, shard))
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    slim = made(source, MODELSLIM).folder
    index = json.loads((slim / "quant_model_weights.safetensors.index.json").read_text())
    assert sorted(set(index["weight_map"].values())) == [
        "quant_model_weights-00001-of-00002.safetensors",
        "quant_model_weights-00002-of-00002.safetensors",
    ]
    assert index["metadata"]["total_size"] == open_checkpoint(slim).weight_bytes
    assert not (slim / "model.safetensors.index.json").exists()
    back = made(slim, CT).folder
    assert (back / "model.safetensors.index.json").is_file()
    assert contents(back) == contents(source) and not errors_of(back)


def _with_config(folder: Path, **changes: Any) -> Path:
    config = {**CONFIG, "quantization_config": {**INT8_CONFIG, **changes}}
    return write_model(folder, quantized_tensors(), config)


def _group(**changes: Any) -> dict[str, Any]:
    group = {**INT8_CONFIG["config_groups"]["group_0"], **changes}
    return {"config_groups": {"group_0": group}}


WEIGHTS = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kv_cache_scheme": {"num_bits": 8, "type": "float"}}, "kv_cache"),
        ({"transform_config": {"config_groups": {"R1": {}}}}, "transform_config"),
        (_group(input_activations={"num_bits": 8, "type": "int"}), "W8A8: static"),
        (_group(input_activations=None), "W8A16"),
        (_group(weights={**WEIGHTS, "symmetric": False}), "ASYM"),
        (_group(weights={**WEIGHTS, "num_bits": 4}), "W4A8_CHANNEL_DYNAMIC"),
        (
            _group(weights={**WEIGHTS, "num_bits": 4, "strategy": "group", "group_size": 4}),
            "W4A8_DYNAMIC: weights of 4 bits",
        ),
        (
            _group(input_activations={"num_bits": 8, "dynamic": True, "strategy": "tensor"}),
            "one scale a tensor",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused(
    made: Any, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    source = _with_config(tmp_path / "s", **changes)
    with pytest.raises(IncompatibleError) as refused:
        made(source, MODELSLIM)
    said = refused.value.message + "\n" + refused.value.details
    assert said.count(reason) == 1
    assert not any(part in said for part in ("scale_bias", "deq_scale", "quant_bias"))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(MODELSLIM)] == []


def test_asymmetric_weights_are_refused(made: Any, tmp_path: Path) -> None:
    slim = made(write_quantized(tmp_path / "s"), MODELSLIM).folder
    checkpoint = open_checkpoint(slim)
    name = "model.layers.0.self_attn.v_proj.weight_offset"
    shard = slim / checkpoint.tensors[name].shard
    content = bytearray(shard.read_bytes())
    content[data_offsets(checkpoint)[name] + 1] = 64
    shard.write_bytes(content)
    with pytest.raises(IncompatibleError, match=r"v_proj\.weight_offset is not zero"):
        made(slim, CT)


@pytest.mark.parametrize("bits", [0x7FC0, 0x0000, 0xBF80], ids=["nan", "zero", "negative"])
@pytest.mark.parametrize("target", [MODELSLIM, CT])
def test_scales_that_are_no_use_are_refused(
    made: Any, tmp_path: Path, target: str, bits: int
) -> None:
    source = write_quantized(tmp_path / "s")
    source = made(source, MODELSLIM).folder if target == CT else source
    checkpoint = open_checkpoint(source)
    name = "model.layers.0.mlp.down_proj.weight_scale"
    with (source / checkpoint.tensors[name].shard).open("r+b") as file:
        file.seek(data_offsets(checkpoint)[name] + 2)
        file.write(bits.to_bytes(2, "little"))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(IntegrityError, match=re.escape(name)) as refused:
        made(source, target)
    assert refused.value.remedy and sorted(tmp_path.iterdir()) == before


def test_the_format_that_it_has_is_refused(made: Any, tmp_path: Path) -> None:
    source = write_quantized(tmp_path / "s")
    with pytest.raises(IncompatibleError, match="not modelslim"):
        made(source, CT)
    with pytest.raises(IncompatibleError, match="is not quantized"):
        made(write_model(tmp_path / "float"), MODELSLIM)


def test_the_source_is_never_written_to(settings: Settings, tmp_path: Path) -> None:
    source = write_quantized(tmp_path / "s")
    with pytest.raises(UsageError):
        convert(Resolved.of_folder(source), MODELSLIM, "o/n", settings, output=source / "new")


def test_the_command(qreg: Run, tmp_path: Path) -> None:
    source = write_quantized(tmp_path / "s")
    ran = qreg("convert", source, "--format", MODELSLIM, "--name", "org/slim", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["derived_from"]["to"] == MODELSLIM
    assert qreg("publish", ran.json["folder"]).code == 0
    shown = qreg("inspect", "org/slim").out
    assert "derived from" in shown and ran.json["derived_from"]["digest"] in shown
    refused = qreg("convert", source, "--format", CT, "--name", "org/x", "--json")
    assert refused.code == 6 and refused.error["kind"] == "incompatible"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("modelslim-v1-w8a8-dynamic", CT),
        ("modelslim-v0-w8a8-dynamic", CT),
        ("modelslim-v1-mindie-w8a8-dynamic", CT),
        ("modelslim-v1-quarot", CT),
        ("modelslim-v1-ct-dynamic", MODELSLIM),
        ("llmcompressor-int8", MODELSLIM),
        ("llmcompressor-int8-tied", MODELSLIM),
        ("llmcompressor-int8-shards", MODELSLIM),
        ("llmcompressor-moe-int8", MODELSLIM),
    ],
)
def test_real_outputs_there_and_back(made: Any, name: str, target: str) -> None:
    source = quantized(name, USER)
    there = made(source, target).folder
    back = made(there, MODELSLIM if target == CT else CT).folder
    assert contents(back) == contents(source)
    assert not errors_of(there) and not errors_of(back)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("modelslim-v1-w8a8", CT, "W8A8: static"),
        ("modelslim-v1-w8a8-mix", CT, "prefill and decode"),
        ("modelslim-v1-w8a8-c8", CT, "kv cache is quantized"),
        ("modelslim-v1-w8a8-fa3", CT, "flash attention is quantized"),
        ("modelslim-v1-w8a8-dynamic-group", CT, "not one scale a channel"),
        ("modelslim-v1-w4a8-dynamic", CT, "scale_bias"),
        ("modelslim-v1-moe-w8a8", CT, "8 layer(s) are W8A8"),
        ("modelslim-v1-quarot-online", CT, "applied while the model runs"),
        ("modelslim-v1-flatquant-w4a4", CT, "FLATQUANT"),
        ("modelslim-v1-w8a16", CT, "W8A16"),
        ("modelslim-v1-mxfp8", CT, "W8A8_MXFP8"),
        ("llmcompressor-w8a8-static", MODELSLIM, "W8A8"),
        ("llmcompressor-w4a16", MODELSLIM, "W4A16"),
        ("llmcompressor-fp8-dynamic", MODELSLIM, "W8A8FP8_DYNAMIC"),
        ("llmcompressor-int8-spinquant", MODELSLIM, "transform_config"),
    ],
)
def test_real_outputs_without_a_counterpart(made: Any, name: str, target: str, reason: str) -> None:
    with pytest.raises(IncompatibleError) as refused:
        made(quantized(name, USER), target)
    assert reason in refused.value.message + refused.value.details
