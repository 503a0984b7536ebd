"""inspect, lint and diff as users type them."""

from __future__ import annotations

import json
import stat
from html.parser import HTMLParser
from pathlib import Path

from registry.lint.catalogue import CATALOGUE
from tests.checkpoints import (
    CONFIG,
    FLOAT,
    INT8_CONFIG,
    quantized_tensors,
    write_model,
    write_quantized,
)
from tests.conftest import Run


def sound(folder: Path) -> Path:
    """A quantized model without a fault."""
    write_quantized(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": 1}')
    return folder


def modelslim(folder: Path) -> Path:
    """A ModelSlim model that kept its float model's FP8 settings and lost its tokenizer."""
    tensors = dict(quantized_tensors())
    for name in list(tensors):
        if name.endswith("weight_scale"):
            rows = tensors[name][1]
            tensors[name] = ("F32", rows)
            tensors[name.replace("scale", "offset")] = ("F32", rows)
    config = {**CONFIG, "quantization_config": {"quant_method": "fp8"}}
    write_model(folder, tensors, config)
    description = {name: "W8A8_DYNAMIC" if "_proj" in name else "FLOAT" for name in tensors} | {
        "version": "1.0.0",
        "model_quant_type": "W8A8_DYNAMIC",
        "group_size": 0,
    }
    (folder / "quant_model_description.json").write_text(json.dumps(description))
    for lost in ("tokenizer.json", "chat_template.jinja"):
        (folder / lost).unlink()
    for path in folder.iterdir():
        path.chmod(0o400)
    return folder


def test_a_sound_artifact_has_no_findings(qreg: Run, tmp_path: Path) -> None:
    ran = qreg("lint", sound(tmp_path / "m"), "--json")
    assert ran.code == 0 and ran.json["findings"] == []
    assert ran.json["summary"] == {"error": 0, "warning": 0, "info": 0}
    assert "nothing to find fault with" in qreg("lint", tmp_path / "m").out


def test_faults_end_with_exit_code_1_and_the_documented_json(qreg: Run, tmp_path: Path) -> None:
    ran = qreg("lint", modelslim(tmp_path / "m"), "--json")
    assert ran.code == 1 and ran.err == ""
    found = {finding["id"]: finding for finding in ran.json["findings"]}
    assert {"quantization-config-left", "tokenizer-missing", "file-mode"} <= found.keys()
    for finding in ran.json["findings"]:
        assert set(finding) == {"id", "severity", "message", "where", "fix"}
    order = [finding["severity"] for finding in ran.json["findings"]]
    assert order == sorted(order, key=["error", "warning", "info"].index)
    human = qreg("lint", tmp_path / "m")
    assert human.code == 1 and "[quantization-config-left]" in human.out
    assert qreg("lint", tmp_path / "m", "--quiet").out.strip() == "2 errors, 2 warnings"


def test_checks_can_be_left_out_and_warnings_can_count(qreg: Run, tmp_path: Path) -> None:
    model = sound(tmp_path / "m")
    (model / "chat_template.jinja").unlink()
    assert qreg("lint", model).code == 0
    assert qreg("lint", model, "--fail-on", "warning").code == 1
    ignored = qreg("lint", model, "--fail-on", "warning", "--ignore", "chat-template-missing")
    assert ignored.code == 0
    unknown = qreg("lint", model, "--ignore", "no-such-check")
    assert unknown.code == 2 and "--explain" in unknown.err


def test_the_target_decides(qreg: Run, tmp_path: Path) -> None:
    model = sound(tmp_path / "m")
    config = json.loads((model / "config.json").read_text())
    group = config["quantization_config"]["config_groups"]["group_0"]
    group["weights"]["strategy"] = "tensor"
    (model / "config.json").write_text(json.dumps(config))
    open_target = qreg("lint", model, "--json")
    assert open_target.code == 0
    assert [f["id"] for f in open_target.json["findings"]] == ["scheme-unsupported"]
    assert qreg("lint", model, "--target", "a2").code == 1
    assert qreg("lint", model, "--target", "TPU").code == 2


def test_every_check_is_explained(qreg: Run) -> None:
    checks = {check["id"]: check for check in qreg("lint", "--explain", "--json").json["checks"]}
    assert list(checks) == [check.id for check in CATALOGUE]
    for check in checks.values():
        assert all(check[key] for key in ("severity", "prevents", "seen", "fix"))
    one = qreg("lint", "--explain", "fused-shards")
    assert "vllm-ascend#2588" in one.out and one.out.count("Seen:") == 1
    assert qreg("lint").code == 2 and qreg("lint", "--explain", "nothing").code == 2


def test_mending_writes_a_new_folder_and_its_derivation(qreg: Run, tmp_path: Path) -> None:
    broken, base = modelslim(tmp_path / "m"), write_model(tmp_path / "base")
    (base / "generation_config.json").write_text('{"eos_token_id": 1}')
    before = {path.name: (path.read_bytes(), path.stat().st_mode) for path in broken.iterdir()}
    ran = qreg("lint", broken, "--fix", tmp_path / "new", "--base", base, "--json")
    assert ran.code == 0, ran.out
    assert {finding["severity"] for finding in ran.json["findings"]} <= {"info"}
    assert len(ran.json["mended"]) == 5
    new = tmp_path / "new"
    assert "quantization_config" not in json.loads((new / "config.json").read_text())
    assert (new / "chat_template.jinja").read_bytes() == (base / "chat_template.jinja").read_bytes()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in new.iterdir())
    derived = json.loads((new / "qreg.json").read_text())["provenance"]["derived_from"]
    source = qreg("inspect", broken, "--digest", "--quiet").out.strip()
    assert derived["digest"] == source and derived["mended"] == ran.json["mended"]
    assert qreg("verify", new).code == 0
    # The source is as it was.
    assert before == {p.name: (p.read_bytes(), p.stat().st_mode) for p in broken.iterdir()}


def test_mending_refuses_what_it_cannot_do(qreg: Run, tmp_path: Path) -> None:
    model = sound(tmp_path / "m")
    nothing = qreg("lint", model, "--fix", tmp_path / "new")
    assert nothing.code == 2 and "nothing" in nothing.err and not (tmp_path / "new").exists()
    (model / "tokenizer.json").unlink()
    needs_base = qreg("lint", model, "--fix", tmp_path / "new")
    assert needs_base.code == 2 and "--base" in needs_base.err
    assert qreg("lint", model, "--base", model).code == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (model / "config.json").chmod(0o400)
    assert qreg("lint", model, "--fix", tmp_path / "full").code == 2
    shard = model / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert qreg("lint", model, "--fix", tmp_path / "new").code == 5
    assert not (tmp_path / "new").exists()


def test_differences(qreg: Run, tmp_path: Path) -> None:
    left, right = write_model(tmp_path / "l"), write_quantized(tmp_path / "r")
    found = qreg("diff", left, right, "--json").json
    assert not found["equal"]
    assert found["schemes"]["removed"] == {"attention: FLOAT": 4, "mlp: FLOAT": 3}
    assert found["schemes"]["added"] == {"attention: W8A8_DYNAMIC": 4, "mlp: W8A8_DYNAMIC": 3}
    name = "model.layers.0.mlp.up_proj.weight"
    assert found["tensors"]["changed"][name] == ["BF16 [16, 8]", "I8 [16, 8]"]
    assert f"{name}_scale" in found["tensors"]["added"]
    assert found["config"]["added"]["quantization_config.quant_method"] == "compressed-tensors"
    assert set(found["files"]["changed"]) == {"config.json", "model.safetensors"}
    assert found["footprint"]["changed"]["mlp"] == [768, 384]
    human = qreg("diff", left, right)
    assert human.code == 0 and "~ model.layers.*.mlp.up_proj.weight  × 1" in human.out, human.out
    same = qreg("diff", left, left, "--json")
    assert same.json["equal"] and qreg("diff", left, left, "--quiet").out.strip() == "equal"
    assert qreg("diff", left, tmp_path / "nowhere").code == 3


class _Page(HTMLParser):
    """Collects what a page loads and which tags it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_report_stands_alone(qreg: Run, tmp_path: Path) -> None:
    tensors = {**FLOAT, "<script>alert(1)</script>.weight": ("BF16", [4, 4])}
    config = {**CONFIG, "model_type": "<b>bold", "quantization_config": INT8_CONFIG}
    model = write_model(tmp_path / "m", tensors, config)
    ran = qreg("inspect", model, "--html", tmp_path / "report.html", "--json")
    assert ran.code == 0 and ran.json["footprint"]["tensors"] == len(tensors)
    text = (tmp_path / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.loads == [] and "script" not in page.tags and "b" not in page.tags
    assert "svg" in page.tags and page.tags.count("rect") > 4 and "claimed-float" in text
    again = qreg("inspect", model, "--html", tmp_path / "report.html")
    assert again.code == 2 and "exists already" in again.err


def test_names_from_outside_cannot_write_to_the_terminal(qreg: Run, tmp_path: Path) -> None:
    config = {**CONFIG, "model_type": "\x1b[31mred\x07", "architectures": ["\ud800"]}
    model = write_model(tmp_path / "m", config=config)
    for command in (["inspect"], ["lint"], ["inspect", "--json"]):
        ran = qreg(command[0], model, *command[1:])
        assert ran.code == 0, ran.err
        assert "\x1b" not in ran.out and "\x07" not in ran.out


def test_inspect_reads_no_weights(qreg: Run, tmp_path: Path) -> None:
    """A sparse file of a terabyte would take minutes to read."""
    model = write_model(tmp_path / "m")
    size = 2**40 // 2
    header = json.dumps(
        {"lm_head.weight": {"dtype": "I8", "shape": [size], "data_offsets": [0, size]}}
    ).encode()
    with (model / "big.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    (model / "model.safetensors").unlink()
    ran = qreg("inspect", model, "--json")
    assert ran.code == 0 and ran.json["footprint"]["weights"] == size
