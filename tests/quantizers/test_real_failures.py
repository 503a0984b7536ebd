"""Failures of the real ModelSlim, provoked, recognised and explained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from quantizers.llmcompressor import worker_env
from quantizers.modelslim import ModelSlim
from tests.conftest import USER
from tests.quantized import float_model
from toolchains import find_toolchain, run_tool

pytestmark = pytest.mark.e2e

STATIC = {
    "type": "linear_quant",
    "qconfig": {
        "act": {"scope": "per_tensor", "dtype": "int8", "symmetric": False, "method": "minmax"},
        "weight": {"scope": "per_channel", "dtype": "int8", "symmetric": True, "method": "minmax"},
    },
    "include": ["*"],
}


def _practice(folder: Path, name: str, spec: dict[str, object], version: str = "v1") -> str:
    path = folder / f"{name}.yaml"
    content = {"apiversion": f"modelslim_{version}", "metadata": {"config_id": name}, "spec": spec}
    path.write_text(json.dumps(content))  # JSON is YAML
    return str(path)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the logs, and of a model whose weights are gone."""
    folder = tmp_path_factory.mktemp("failures")
    model = str(float_model("dense", USER))
    victim = folder / "victim"
    shutil.copytree(model, victim)
    odd = folder / "my model"
    shutil.copytree(model, odd)
    calibration = folder / "set.jsonl"
    calibration.write_text('{"inputs_pretokenized": "A quantizer rounds."}\n')
    save = [{"type": "ascendv1_saver", "part_file_size": 4}]
    known = {"process": [STATIC], "save": save, "dataset": str(calibration)}
    sound = _practice(folder, "sound", known)
    smooth = _practice(folder, "smooth", {**known, "process": [{"type": "iter_smooth"}, STATIC]})
    names = {"w_bit": 8, "a_bit": 8, "mm_tensor": False, "disable_names": ["model.layers.9.mlp"]}
    spec = {"calib_cfg": names, "calib_dataset": str(calibration)}
    skipping = _practice(folder, "skipping", spec, "v0")
    missing = _practice(folder, "missing", {**known, "dataset": str(folder / "no.jsonl")})
    wrong = _practice(folder, "wrong", {**known, "process": [{**STATIC, "qconfig": {"act": 1}}]})

    def arguments(config: str, source: object = model, device: str = "cpu") -> list[str]:
        found = ["--model_type", "Qwen3-14B", "--model_path", str(source), "--device", device]
        found += ["--save_path", str(folder / "out" / Path(config).stem)]
        return [*found, "--config_path", config] if config else [*found, "--quant_type", "w4a4"]

    cases = {
        "smooth": arguments(smooth),
        "skipping": arguments(skipping),
        "question": arguments(""),
        "npu": arguments(sound, device="npu"),
        "path": arguments(sound, odd),
        "set": arguments(missing),
        "field": arguments(wrong),
        "source": [*arguments(sound, victim), "--save_path", str(victim)],
    }
    job = folder / "job.json"
    job.write_text(json.dumps({"output": str(folder), "cases": cases}))
    script = Path(__file__).parents[1] / "workers" / "modelslim_failures.py"
    argv = [str(find_toolchain("modelslim", USER).python), "-I", str(script), str(job)]
    run_tool(argv, log=folder / "worker.log", env=worker_env(), cwd=folder)
    return folder


@pytest.mark.parametrize(
    ("case", "what", "remedy"),
    [
        ("smooth", "iter_smooth cannot smooth bfloat16", "flex_smooth_quant"),
        ("skipping", "skips layers by name", "disable_names"),
        ("question", "asked a question", "--recipe"),
        ("npu", "no torch_npu", "--device cpu"),
        ("path", "letters, digits", "Move or link"),
        ("set", "cannot read the calibration set", "--calibration"),
        ("field", "a field that ModelSlim does not know", "Mend the practice"),
    ],
)
def test_known_failures(logs: Path, case: str, what: str, remedy: str) -> None:
    log = (logs / f"{case}.log").read_text()
    assert (logs / f"{case}.code").read_text() != "0", log[-2000:]
    found = ModelSlim().explain(log)
    assert found is not None, log[-3000:]
    assert what in found.what and remedy in found.remedy, (found, log[-3000:])
    assert not ModelSlim().succeeded(log)


def test_saving_to_the_source_would_delete_the_weights(logs: Path) -> None:
    """What qreg refuses before it starts, see test_preflight: ModelSlim clears the folder first."""
    assert not (logs / "victim" / "model.safetensors").exists(), (logs / "source.log").read_text()
