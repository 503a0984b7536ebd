"""What `inspect` shows: the manifest of an artifact, from its metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from registry.artifact import SCHEMA_VERSION, Digest, Manifest, payload_digest
from registry.checkpoint.facts import Facts, read_facts
from registry.checkpoint.reading import open_checkpoint
from registry.claims import claim, claims_of, plain
from registry.describe import describe_folder, read_manifest
from registry.errors import UsageError
from registry.finding import Finding
from registry.lint import Target, lint_facts
from registry.listing import carried_manifest, listed_files
from registry.progress import Observer, ignore
from registry.resolve import Resolved
from registry.source import Source


@dataclass(frozen=True)
class Inspection:
    """An artifact as its metadata shows it.

    Attributes:
        reference: finds it again.
        facts: derived from its headers and JSON files.
        source: its bytes.
        target: what lint judges it by.
        manifest: the one that it carries or that was derived; None where files have no sha256.
        claimed: whether the digest is only what the folder's own qreg.json says.
        carried: the manifest with what qreg.json says; None where it says nothing of these files.
    """

    reference: str
    facts: Facts
    source: Source
    target: Target | None
    manifest: Manifest | None
    claimed: bool = False
    carried: Manifest | None = None

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What lint says; judged when it is first asked for, as the manifest holds none of it."""
        return lint_facts(self.facts, self.source, self.target)

    @property
    def name(self) -> str:
        """ORG/NAME, or the last part of where it was found."""
        if self.manifest is not None and self.manifest.name:
            return self.manifest.name
        return _name_in(self.reference)

    @property
    def title(self) -> str:
        """The name, for people: marked where only the folder's own qreg.json says it."""
        return claim(self.name) if "name" in self.claims else plain(self.name)

    @property
    def digest(self) -> Digest | None:
        """Of the payload, where it is known."""
        return self.manifest.digest if self.manifest else None

    @cached_property
    def sections(self) -> dict[str, dict[str, Any]]:
        """Of a manifest, those that are derived from the files."""
        return {
            "architecture": self.facts.architecture.to_json(),
            "quantization": self.facts.quantization.to_json(),
            "footprint": self.facts.footprint,
        }

    @property
    def claims(self) -> tuple[str, ...]:
        """Fields of `to_json` that are only what qreg.json says; see `registry.claims`."""
        if self.carried is None:
            return ()
        name = ("name",) if self.carried.name and "://" not in self.reference else ()
        contents = ("digest", "files") if self.claimed else ()
        return (*name, *contents, *claims_of(self.carried, self.sections))

    def to_json(self) -> dict[str, Any]:
        """The manifest, and in `claimed` what of it only is; facts are those of the headers.

        Without one, `digest` and the files' `sha256` are null: they are known after hashing.
        """
        sections = self.sections
        if self.manifest is not None:
            found = self.manifest.to_json()
            # Fields that only a newer qreg knows are kept.
            kept = {name: {**found[name], **derived} for name, derived in sections.items()}
            return {**found, **kept, "claimed": list(self.claims)}
        files: list[Mapping[str, Any]] = [
            {"path": entry.path, "size": entry.size, "sha256": entry.sha256}
            for entry in sorted(self.facts.checkpoint.entries, key=lambda e: e.path)
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "digest": None,
            "created": "",
            **sections,
            "provenance": {},
            "evidence": [],
            "files": files,
            "claimed": [],
        }


def inspect(
    resolved: Resolved,
    target: Target | None = None,
    *,
    hashing: bool = False,
    observe: Observer = ignore,
) -> Inspection:
    """Look at an artifact, reading metadata only.

    Args:
        resolved: what a reference names.
        target: what lint shall judge it by.
        hashing: read and hash all of a local folder, for its digest.
        observe: is told the bytes hashed.

    Raises:
        NotFoundError, IntegrityError: it is no whole checkpoint; `lint` lists all that is wrong.
        UsageError: hashing was asked for what is not on this machine.
    """
    if hashing and resolved.folder is None:
        raise UsageError(
            f"{resolved.reference} is not on this machine and cannot be hashed",
            remedy="Leave --digest out; hubs tell the digest themselves.",
        )
    facts = read_facts(open_checkpoint(resolved.source))

    def found(
        manifest: Manifest | None, carried: Manifest | None, claimed: bool = False
    ) -> Inspection:
        known = carried if manifest is not None else None
        return Inspection(
            resolved.reference, facts, resolved.source, target, manifest, claimed, known
        )

    committed = resolved.snapshot is not None and resolved.snapshot.committed
    carried = resolved.snapshot.manifest if committed and resolved.snapshot else None
    if carried is None and resolved.folder is not None:
        if hashing:
            manifest = describe_folder(resolved.folder, observe=observe, follow_outside=True)
            carried = read_manifest(resolved.folder)
            same = carried is not None and carried.digest == manifest.digest
            return found(manifest, carried if same else None)
        carried = read_manifest(resolved.folder)
        claimed = carried is not None
        if carried is not None and carried.changed(facts.checkpoint.files):
            carried = None
        return found(carried, carried, claimed)
    if carried is not None:
        return found(carried, carried)
    derived = _derived(resolved, facts)
    return found(derived, derived)


def _derived(resolved: Resolved, facts: Facts) -> Manifest | None:
    """The manifest of a hub's repository, from its listing."""
    files = listed_files(resolved.source)
    if files is None:
        return None
    known = carried_manifest(resolved.source)
    derived = Manifest(
        name=_name_in(resolved.reference),
        digest=payload_digest(files),
        files=files,
    )
    if known is not None and known.digest == derived.digest:
        return replace(known, files=files)
    return derived


def _name_in(reference: str) -> str:
    """`org/name` of `hf://org/name@revision`; a folder as it is."""
    return (
        reference.partition("://")[2].partition("@")[0] or reference.rstrip("/").partition("@")[0]
    )
