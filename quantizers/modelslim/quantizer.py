"""ModelSlim as a quantizer: which command to run for a job, and what it is meant to do."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from quantizers.calibration import CalibrationSet, check_samples
from quantizers.coverage import linear_modules
from quantizers.failures import KnownFailure
from quantizers.interface import Command, FindToolchain, Intent, Job, Needs, Options, Quantizer
from quantizers.llmcompressor.environment import worker_env
from quantizers.modelslim.calibration import write_calibration
from quantizers.modelslim.checkout import state_of, working_folder
from quantizers.modelslim.checks import calibration_warning, check_practice
from quantizers.modelslim.devices import Device, check_device, default_device, read_device
from quantizers.modelslim.families import kind_of_model
from quantizers.modelslim.paths import check_writable_paths, source_for_modelslim
from quantizers.modelslim.practice import (
    V0,
    cache_scheme,
    has_patterns,
    parse_practice,
    rules_of,
    spare_layers,
    with_datasets,
    with_names,
)
from quantizers.modelslim.reading import (
    FAILURES,
    SUCCESS,
    own_words,
    read_progress,
    read_warning,
)
from quantizers.modelslim.script_sets import (
    ANTI,
    CALIBRATION,
    OPTIONS,
    is_of_texts,
    own_set,
    split_sets,
)
from quantizers.modelslim.scripts import (
    check_arguments,
    check_script,
    is_script,
    script_arguments,
    script_path,
    script_recipe,
    source_of,
)
from quantizers.modelslim.shipped import PREFIX, load_practice, practices_for, shipped_set
from quantizers.modelslim.tokenizers import check_tokenizer, toolchain_for_tokenizer
from quantizers.recipe import Recipe, find_recipe, read_text
from quantizers.samples import ARRAY, LINES, shape_of
from registry.checkpoint import Checkpoint
from registry.checkpoint.architecture import read_architecture
from registry.checkpoint.quantization.layers import is_linear_weight
from registry.errors import IncompatibleError, UsageError
from registry.folder import sha256_file
from registry.progress import Note, Progress
from toolchains import Toolchain
from toolchains.interpreter import module_command

TOOL = "modelslim"
# Parts that every adapter quantizes as linear layers. Routers are classes of their own in some
# models, and lm_head and towers are outside of the layers that the runner goes through.
_LAYERS = frozenset({"attention", "mlp", "experts", "shared_experts"})
_NAMES = {CALIBRATION: "calibration.jsonl", ANTI: "anti.jsonl"}
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
        kind = kind_of_model(checkpoint.config.get("model_type"))
        return toolchain_for_tokenizer(checkpoint, kind)

    def practices(self, checkpoint: Checkpoint, toolchain: Toolchain) -> list[str]:
        kind = kind_of_model(checkpoint.config.get("model_type"))
        return [f"{PREFIX}{name}" for name in practices_for(kind.adapter, toolchain)]

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
        architecture = read_architecture(checkpoint.config)
        if is_script(recipe):
            # Before the machine is looked at: `--device cpu` would be no help.
            used = device if default_device() == "npu" else Device("cpu")
            check_script(recipe, used, experts=bool(architecture.experts))
        check_device(device)
        notes = []
        if warning := calibration_warning(recipe, checkpoint):
            notes.append(Note(warning, warning=True))
        if is_script(recipe):
            if warning := check_arguments(recipe, options.arguments, architecture.layers):
                notes.append(Note(warning, warning=True))
        else:
            check_practice(recipe, checkpoint, device)
            if not options.model_type and kind_of_model(checkpoint.config.get("model_type")) == (
                kind_of_model(None)
            ):
                text = f"ModelSlim has no adapter for {checkpoint.config.get('model_type')!r}"
                notes.append(Note(f"{text}; its default one is used", warning=True))
        return notes

    def settle(self, recipe: Recipe, options: Options) -> tuple[Mapping[str, Path], Options]:
        if not is_script(recipe):
            return {}, options
        source, folder = source_of(recipe), script_path(recipe).parent
        sets, arguments = split_sets(source, options.arguments, folder)
        untouched = tuple(use for use, path in sets.items() if not is_of_texts(path))
        untouched = tuple(dict.fromkeys((*options.untouched, *untouched)))
        return sets, replace(options, arguments=arguments, untouched=untouched)

    def check_toolchain(
        self, checkpoint: Checkpoint, options: Options, toolchain: Toolchain
    ) -> None:
        check_tokenizer(checkpoint, toolchain.name)
        device = read_device(options.device or default_device())
        packages = {name.lower().replace("_", "-") for name in toolchain.versions}
        if device.kind == "npu" and "torch-npu" not in packages:
            raise IncompatibleError(
                f"Toolchain {toolchain.name} has no torch_npu, so it cannot use the NPUs here",
                remedy="Use the vendor's environment: qreg toolchain use modelslim --python "
                "$(command -v python3) . Or work on the CPU: --device cpu .",
            )

    def state(self, recipe: Recipe) -> Mapping[str, object]:
        return state_of(script_path(recipe)) if is_script(recipe) else {}

    def check_output(self, output: Path) -> None:
        check_writable_paths(output, Path(tempfile.gettempdir()))

    def default_set(self, recipe: Recipe, use: str, toolchain: Toolchain) -> CalibrationSet | None:
        if is_script(recipe):
            return own_set(source_of(recipe), use, script_path(recipe).parent)
        if use != CALIBRATION or recipe.calibration is None or not recipe.calibration.default:
            return None
        name = recipe.calibration.default
        path = shipped_set(name, toolchain)
        if path is None:
            return None
        digest = f"sha256:{sha256_file(path)}"
        return CalibrationSet(name, path, digest, check_samples(path), "the tool")

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
            script, folder = source_of(job.recipe), script_path(job.recipe).parent
            words = script.relative_paths(folder)
            there = working_folder(script_path(job.recipe), words, job.work.resolve())
            # Nothing is written beside the script, no compiled helper either.
            env |= {"PYTHONDONTWRITEBYTECODE": "1"}
            arguments = script_arguments(job, source, sets, device)
            argv = [str(toolchain.python), "-s", *arguments]
            return Command(argv, env, folder=there, own_modules=True)
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
        """The user's sets in the shape that is read, by their use.

        For a script their names stay. ModelSlim's command writes the name into its output, which
        would else differ by what a set is called.
        """
        found = {}
        script = source_of(job.recipe) if self._script else None
        for use, path in ((CALIBRATION, job.calibration), (ANTI, job.anti_dataset)):
            if path is None:
                continue
            if use in job.options.untouched:
                found[use] = Path(path)
                continue
            if script is None:
                found[use] = job.work.resolve() / _NAMES[use]
                write_calibration(Path(path), found[use], LINES)
                continue
            shape = script.shape(script.option(*OPTIONS[use]))
            shape = shape or shape_of(Path(path))  # the source does not tell: as the user has it
            stem = re.sub(r"[^A-Za-z0-9_.-]", "_", Path(path).stem)
            suffix = ".json" if shape == ARRAY else ".jsonl"
            found[use] = job.work.resolve() / use / f"{stem}{suffix}"
            found[use].parent.mkdir()
            write_calibration(Path(path), found[use], shape)
        return found

    def _practice(self, job: Job, sets: dict[str, Path]) -> str:
        """The practice to run; a user's own file as it is, where it needs no other set."""
        patterned = has_patterns(job.recipe.body)
        plain = "practice" not in (yaml.safe_load(job.recipe.text) or {})
        if not sets and plain and not patterned:
            return job.recipe.text
        calibration, anti = sets.get(CALIBRATION, ""), sets.get(ANTI, "")
        practice = with_datasets(job.recipe.body, str(calibration), str(anti))
        if patterned:
            layers = read_architecture(job.checkpoint.config).layers
            practice = with_names(practice, dict(linear_modules(job.checkpoint, layers)))
        return str(yaml.safe_dump(practice, sort_keys=False, allow_unicode=True))
