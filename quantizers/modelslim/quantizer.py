"""ModelSlim as a quantizer: which command to run for a job, and what it is meant to do."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from quantizers.calibration import CalibrationSet, check_lines
from quantizers.coverage import linear_modules
from quantizers.failures import KnownFailure
from quantizers.interface import Command, FindToolchain, Intent, Job, Needs, Options, Quantizer
from quantizers.llmcompressor.environment import worker_env
from quantizers.modelslim.calibration import write_calibration
from quantizers.modelslim.checks import calibration_warning, check_practice
from quantizers.modelslim.devices import check_device, default_device, read_device
from quantizers.modelslim.families import kind_of_model
from quantizers.modelslim.paths import check_writable_paths, source_for_modelslim
from quantizers.modelslim.practice import (
    V0,
    cache_scheme,
    parse_practice,
    rules_of,
    spare_layers,
    with_datasets,
)
from quantizers.modelslim.reading import (
    FAILURES,
    SUCCESS,
    own_words,
    read_progress,
    read_warning,
)
from quantizers.modelslim.scripts import is_script, script_arguments, script_recipe
from quantizers.modelslim.shipped import PREFIX, load_practice, shipped_set
from quantizers.recipe import Recipe, find_recipe, read_text
from registry.checkpoint import Checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.errors import UsageError
from registry.folder import sha256_file
from registry.progress import Note, Progress
from toolchains import Toolchain
from toolchains.interpreter import module_command

TOOL = "modelslim"
CALIBRATION, ANTI = "calibration.jsonl", "anti.jsonl"
# Parts that every adapter quantizes as linear layers. Routers are classes of their own in some
# models, and lm_head and towers are outside of the layers that the runner goes through.
_LAYERS = frozenset({"attention", "mlp", "experts", "shared_experts"})
_IMPORT_MEMORY = int(0.5 * 2**30)  # measured with msmodelslim 26.1.0 on a CPU


class ModelSlim(Quantizer):
    """Runs `msmodelslim quant`, or a script of its repository, in its toolchain."""

    name = TOOL
    toolchain = TOOL
    failures = FAILURES

    def __init__(self) -> None:
        self._layers: int | None = None
        self._script = False

    def toolchain_for(self, checkpoint: Checkpoint, options: Options) -> str:
        return kind_of_model(checkpoint.config.get("model_type")).toolchain

    def load_recipe(self, text: str, options: Options, toolchain: FindToolchain) -> Recipe:
        if options.script is not None:
            return script_recipe(options.script)
        if options.arguments:
            raise UsageError(
                "Arguments after -- are for a script", remedy="Name it: --script PATH ."
            )
        if text.startswith(PREFIX):
            return load_practice(text.removeprefix(PREFIX), toolchain())
        path = find_recipe(text, TOOL)
        return parse_practice(read_text(path), path.stem, str(path))

    def check(self, checkpoint: Checkpoint, recipe: Recipe, options: Options) -> list[Note]:
        device = read_device(options.device or default_device())
        check_device(device)
        warning = calibration_warning(recipe, checkpoint)
        notes = [Note(warning, warning=True)] if warning else []
        if not is_script(recipe):
            check_practice(recipe, checkpoint, device)
            if not options.model_type and kind_of_model(checkpoint.config.get("model_type")) == (
                kind_of_model(None)
            ):
                text = f"ModelSlim has no adapter for {checkpoint.config.get('model_type')!r}"
                notes.append(Note(f"{text}; its default one is used", warning=True))
        return notes

    def check_output(self, output: Path) -> None:
        check_writable_paths(output, Path(tempfile.gettempdir()))

    def default_set(self, name: str, toolchain: Toolchain) -> CalibrationSet | None:
        path = shipped_set(name, toolchain)
        if path is None:
            return None
        lines = check_lines(path) if path.suffix == ".jsonl" else None
        return CalibrationSet(name, path, f"sha256:{sha256_file(path)}", lines, own=False)

    def estimate(self, checkpoint: Checkpoint, recipe: Recipe) -> Needs:
        """The model in memory once, or for v0 and scripts twice and more (they keep copies).

        Adapters of the largest families load layer by layer. The layer at hand is computed in
        float32, and samples' hidden states are kept between layers.
        """
        weights = checkpoint.weight_bytes
        kind = kind_of_model(checkpoint.config.get("model_type"))
        layers = read_architecture(checkpoint.config).layers or 1
        layer = weights // layers
        if is_script(recipe) or recipe.body.get("apiversion") == V0:
            memory = int(2.3 * weights)
        else:
            memory = (2 * layer if kind.by_layer else weights) + 3 * layer
        if recipe.calibration is not None:
            tokens = recipe.calibration.samples * recipe.calibration.max_tokens
            memory += 2 * tokens * int(checkpoint.config.get("hidden_size") or 4096) * 2
        quantized = sum(t.elements for t in checkpoint.tensors.values() if is_linear_weight(t))
        # W8A8 leaves a byte a weight; the rest, and what is in floating point, stays as it is.
        return Needs(memory + _IMPORT_MEMORY, max(weights - quantized, weights // 4) + 64 * 2**20)

    def command(self, job: Job, toolchain: Toolchain) -> Command:
        architecture = read_architecture(job.checkpoint.config)
        kind = kind_of_model(job.checkpoint.config.get("model_type"))
        self._layers = architecture.layers
        if kind.by_layer and self._layers:  # those adapters go through the MTP layers, too
            self._layers += architecture.mtp_layers or 0
        self._script = is_script(job.recipe)
        source = source_for_modelslim(job.source, job.work)
        device = read_device(job.options.device or default_device())
        sets = self._calibration_sets(job)
        env = {**worker_env(), **device.environment(), "MSMODELSLIM_LOG_LEVEL": "info"}
        if self._script:
            arguments = script_arguments(job, source, sets, device)
            return Command([str(toolchain.python), "-s", *arguments], env, own_modules=True)
        practice = job.work / "practice.yaml"
        practice.write_text(self._practice(job, sets), encoding="utf-8")
        several = job.recipe.body.get("apiversion") != V0
        return Command(
            [
                *(*module_command(toolchain, "msmodelslim.cli"), "quant"),
                *("--model_type", job.options.model_type or kind.adapter),
                *("--model_path", str(source), "--save_path", str(job.output)),
                *("--device", device.argument(several=several)),
                *("--config_path", str(practice)),
                *("--trust_remote_code", str(job.options.trust_remote_code)),
            ],
            env,
        )

    def read_line(self, line: str) -> Progress | None:
        return read_progress(line, self._layers)

    def warning(self, line: str) -> str:
        return read_warning(line)

    def succeeded(self, log: str) -> bool:
        # Scripts say nothing; their output is looked at like any other.
        return self._script or SUCCESS in log

    def finish(self, job: Job) -> None:
        """The practice that ModelSlim writes beside the weights names the set by its path."""
        for path in job.output.glob("*_best_practice.yaml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(f"{job.work.resolve()}/", ""), encoding="utf-8")

    def intent(self, source: Checkpoint, recipe: Recipe) -> Intent:
        layers = read_architecture(source.config).layers
        components = {
            module: component
            for module, component in linear_modules(source, layers)
            if component in _LAYERS
        }
        found: dict[str, str] = {}
        rules = [] if is_script(recipe) else rules_of(recipe.body)
        for module in components:
            for rule in rules:
                if rule.include.match(module) and not rule.exclude.match(module):
                    found[module] = rule.scheme
                    break
        if is_script(recipe):
            # What a script leaves out is its own affair, but never all experts of a model.
            found = {m: "" for m, component in components.items() if component == "experts"}
            spare = max(0, len(found) - 1)
            found = found or dict.fromkeys(components, "")
            return Intent("modelslim", found, components, spare=spare or len(found) - 1)
        savers = [s.get("type") for s in recipe.body["spec"].get("save") or () if s]
        return Intent(
            method="compressed-tensors" if savers == ["compressed_tensors"] else "modelslim",
            layers=found,
            components=components,
            computations=cache_scheme(recipe.body),
            spare=spare_layers(recipe.body),
        )

    def explain(self, log: str) -> KnownFailure | None:
        return super().explain(log) or own_words(log)

    def _calibration_sets(self, job: Job) -> dict[str, Path]:
        """The user's sets in ModelSlim's layout, by the name of their file."""
        found = {}
        for name, path in ((CALIBRATION, job.calibration), (ANTI, job.anti_dataset)):
            if path is not None:
                found[name] = job.work.resolve() / name
                write_calibration(Path(path), found[name])
        return found

    def _practice(self, job: Job, sets: dict[str, Path]) -> str:
        """The practice to run; a user's own file as it is, where it needs no other set."""
        if not sets and "practice" not in (yaml.safe_load(job.recipe.text) or {}):
            return job.recipe.text
        calibration, anti = sets.get(CALIBRATION, ""), sets.get(ANTI, "")
        practice = with_datasets(job.recipe.body, str(calibration), str(anti))
        return str(yaml.safe_dump(practice, sort_keys=False, allow_unicode=True))
