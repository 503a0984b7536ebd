"""What an artifact records of how it was made, read once and with every value checked.

A record is text that someone else wrote. Nothing of it becomes a path, a command, an option of a
tool or a consent by itself: tools and toolchains are those that qreg knows, names pass the rules of
names, digests are digests, and paths are only told to the user.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantizers.catalogue import open_quantizer
from quantizers.recorded_recipe import check_recorded_recipe
from registry.artifact import Digest, Manifest
from registry.errors import IncompatibleError, IntegrityError, NotFoundError, QregError, UsageError
from registry.lint.target import CHIPS, Chip
from registry.names import check_tag, is_name
from registry.reference import Reference
from toolchains import spec_of

SETS = ("calibration", "anti_dataset")
_DEVICE = re.compile(r"(?:cpu|npu|cuda)(?::\d{1,4}(?:,\d{1,4}){0,63})?\Z")
_MODEL_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_THREADS = re.compile(r"[1-9][0-9]{0,3}\Z")
_MOST_THREADS = 4095
_MOST_ARGUMENTS = 1000
_SHOWN = 100  # characters of a recorded text in a message


@dataclass(frozen=True)
class RecordedSet:
    """A set of the user's that was calibrated or smoothed with.

    Attributes:
        file: its name.
        digest: `sha256:…` of it; None for a data set of a hub.
        path: where older releases of qreg say that it was, on the machine of whoever made it. It is
            told, and never opened.
        texts: whether its samples were texts, which are counted in a record.
    """

    file: str
    digest: Digest | None
    path: str = ""
    texts: bool = True


@dataclass(frozen=True)
class Record:
    """How an artifact was made.

    Attributes:
        artifact: ORG/NAME.
        digest: of the artifact.
        base: what the float model is called, for people.
        base_reference: finds it in a store or on a hub; empty where it was a folder.
        base_digest: of its payload.
        tool: a quantizer that qreg has.
        toolchain: one of the catalogue.
        lock_digest: of its lock file; empty for an environment of the maker's own.
        versions: of its packages.
        recipe_name: of the recipe.
        recipe_text: the recipe, or the script.
        sets: of the user's, by their use, see SETS.
        brought: the same for sets that came with the tool, or with a script.
        device, model_type: as the tool takes them; empty for the usual.
        script: the file name of the script that was run; empty where a recipe was.
        arguments: that the script got; paths in them may be shortened.
        files: digests of the files that arguments name, by the argument.
        commit: of the script's checkout; empty where it is not known.
        changed: whether files of the checkout differed from it.
        ran_code: whether the model's own Python code was allowed to run.
        code: digest of that code, where it is recorded.
        chip: that the result was meant for.
        threads: that work was split among; None where it is not recorded.
        procedure: of the tool, see `Quantizer.procedure`; empty in records of older releases of
            qreg. The tool checks it.
    """

    artifact: str
    digest: Digest
    base: str
    base_reference: str
    base_digest: Digest
    tool: str
    toolchain: str
    lock_digest: str
    versions: Mapping[str, str]
    recipe_name: str
    recipe_text: str
    sets: Mapping[str, RecordedSet] = field(default_factory=dict)
    brought: Mapping[str, RecordedSet] = field(default_factory=dict)
    device: str = ""
    model_type: str = ""
    script: str = ""
    arguments: tuple[str, ...] = ()
    files: Mapping[str, Digest] = field(default_factory=dict)
    commit: str = ""
    changed: bool = False
    ran_code: bool = False
    code: Digest | None = None
    chip: Chip | None = None
    threads: int | None = None
    procedure: Mapping[str, Any] = field(default_factory=dict)


def read_record(manifest: Manifest) -> Record:
    """Read the provenance of an artifact that `qreg quantize` made.

    Raises:
        IncompatibleError: nothing of how it was made is recorded, or only claimed; it was made from
            another artifact; or a value is none that qreg writes or takes from a record.
        IntegrityError: the recipe is not the one that its digest names.
    """
    record = manifest.provenance
    named = repr(manifest.name) if not is_name(manifest.name) else manifest.name
    tables = [record.get(key) for key in ("base", "tool", "toolchain", "recipe")]
    told = all(isinstance(table, Mapping) for table in tables)
    if not told or record.get("claimed") or not record["recipe"].get("text"):
        raise IncompatibleError(
            f"How {named} was made is not recorded, or only claimed",
            remedy="qreg can run again what `qreg quantize` made: its qreg.json holds recipe, "
            "source, toolchain and options.",
        )
    derived = record.get("derived_from")
    if isinstance(derived, Mapping):
        raise IncompatibleError(
            f"{named} was not quantized, but made from {_shown(derived.get('name') or 'another')}",
            remedy="Reproduce that one, and then do the same with it again: qreg convert, or "
            "qreg lint --fix .",
        )
    fields = _Fields(manifest)
    base, recipe = fields.table("base"), fields.table("recipe")
    toolchain, options = fields.table("toolchain"), fields.table("options")
    script = fields.text(options, "script", "options")
    found = Record(
        artifact=fields.name(),
        digest=manifest.digest,
        base=_shown(base.get("name") or "without a name"),
        base_reference=_lasting(base),
        base_digest=fields.digest(base, "base"),
        tool=fields.tool(),
        toolchain=fields.toolchain(toolchain),
        lock_digest=fields.text(toolchain, "lock_digest", "toolchain"),
        versions=fields.versions(toolchain),
        recipe_name=fields.recipe_name(recipe),
        recipe_text=fields.text(recipe, "text", "recipe"),
        sets=fields.sets(brought=False),
        brought=fields.sets(brought=True),
        device=fields.matching(options, "device", _DEVICE),
        model_type=fields.matching(options, "model_type", _MODEL_TYPE),
        script=script,
        arguments=fields.arguments(options),
        files={
            _shown(word): fields.digest({"digest": value}, "files")
            for word, value in fields.table("files").items()
        },
        commit=fields.commit(),
        changed=bool(fields.table("checkout").get("changed")),
        ran_code=bool(options.get("trust_remote_code")),
        code=fields.code(),
        chip=fields.chip(options),
        threads=fields.threads(),
        procedure=fields.table("procedure"),
    )
    digest = f"sha256:{hashlib.sha256(found.recipe_text.encode(errors='replace')).hexdigest()}"
    if recipe.get("digest") != digest:
        raise IntegrityError(
            f"The recipe of {found.artifact} is not the recorded one: it has {digest}",
            remedy="Its qreg.json was altered; pull the artifact again from its source.",
        )
    if not script:
        check_recorded_recipe(found.recipe_text, found.artifact)
    return found


@dataclass(frozen=True)
class _Fields:
    """The values of a record, each as what it has to be."""

    manifest: Manifest

    def refuse(self, what: str, value: Any, remedy: str = "") -> IncompatibleError:
        return IncompatibleError(
            f"The record of {_shown(self.manifest.name)} cannot be followed: its {what} is "
            f"{_shown(value)}",
            remedy=remedy or "Quantize the base again, with a recipe of yours: qreg quantize .",
        )

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.manifest.provenance.get(key) or {}
        if not isinstance(value, Mapping):
            raise self.refuse(key, value)
        return value

    def text(self, table: Mapping[str, Any], key: str, where: str) -> str:
        value = table.get(key)
        if value is not None and not isinstance(value, str):
            raise self.refuse(f"{where}.{key}", value)
        return value or ""

    def matching(self, table: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
        value = self.text(table, key, "options")
        if value and not pattern.match(value):
            raise self.refuse(f"options.{key}", value)
        return value

    def name(self) -> str:
        if not is_name(self.manifest.name):
            raise self.refuse("name", self.manifest.name)
        return self.manifest.name

    def digest(self, table: Mapping[str, Any], where: str) -> Digest:
        value = table.get("digest")
        try:
            if not isinstance(value, str) or not value.startswith("sha256:"):
                raise self.refuse(f"{where}.digest", value)
            return Digest.parse(value)
        except UsageError as error:
            raise self.refuse(f"{where}.digest", value) from error

    def tool(self) -> str:
        value = self.text(self.table("tool"), "name", "tool")
        try:
            return open_quantizer(value).name
        except NotFoundError as error:
            raise self.refuse("tool", value, error.remedy) from error

    def toolchain(self, table: Mapping[str, Any]) -> str:
        value = self.text(table, "name", "toolchain")
        try:
            return spec_of(value).name
        except NotFoundError as error:
            raise self.refuse("toolchain", value, error.remedy) from error

    def versions(self, table: Mapping[str, Any]) -> Mapping[str, str]:
        value = table.get("versions") or {}
        if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
            raise self.refuse("toolchain.versions", value)
        return value

    def recipe_name(self, table: Mapping[str, Any]) -> str:
        value = table.get("name")
        try:
            return check_tag(value if isinstance(value, str) else "")
        except UsageError as error:
            raise self.refuse("recipe.name", value) from error

    def sets(self, *, brought: bool) -> Mapping[str, RecordedSet]:
        found = {}
        for use in SETS:
            table = self.table(use)
            if not table or bool(table.get("origin")) != brought:
                continue
            digest = self.digest(table, use) if table.get("digest") else None
            path = self.text(table, "path", use)
            name = _shown(table.get("file") or "without a name")
            found[use] = RecordedSet(name, digest, path, "lines" in table)
        return found

    def arguments(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        value = options.get("arguments") or []
        sound = isinstance(value, list) and all(isinstance(word, str) for word in value)
        if not sound or len(value) > _MOST_ARGUMENTS:
            raise self.refuse("options.arguments", value)
        return tuple(value)

    def commit(self) -> str:
        value = self.table("checkout").get("commit") or ""
        if not isinstance(value, str) or (value and not _COMMIT.match(value)):
            raise self.refuse("checkout.commit", value)
        return value

    def code(self) -> Digest | None:
        table = self.table("code")
        return self.digest(table, "code") if table else None

    def chip(self, options: Mapping[str, Any]) -> Chip | None:
        value = options.get("target")
        if value and (not isinstance(value, str) or value not in CHIPS):
            raise self.refuse("options.target", value)
        return CHIPS[value] if value else None

    def threads(self) -> int | None:
        value = self.table("environment").get("OMP_NUM_THREADS")
        if value is None:
            return None
        if not isinstance(value, str) or not _THREADS.match(value) or int(value) > _MOST_THREADS:
            raise self.refuse("environment.OMP_NUM_THREADS", value)
        return int(value)


def _lasting(base: Mapping[str, Any]) -> str:
    """A recorded reference that names something in a store; a path is none, nor is a bare word."""
    for value in (base.get("reference"), base.get("name")):
        try:
            if isinstance(value, str) and Reference.parse(value).scheme != "file":
                return value
        except QregError:
            continue
    return ""


def _shown(value: Any) -> str:
    """A recorded value for a message: short, and with nothing that a terminal obeys."""
    text = str(value)
    plain = text.isprintable() and len(text) <= _SHOWN
    return text if plain else repr(text[:_SHOWN])
