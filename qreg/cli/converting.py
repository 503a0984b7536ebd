"""`serve --convert`: an artifact in a format that this machine's engine reads, converted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.config import Settings
from registry.errors import IncompatibleError
from registry.progress import Note, Observer

if TYPE_CHECKING:
    from serving.plan import Plan

FORMAT = "compressed-tensors"  # what vLLM reads on CPUs and GPUs
FOLDER = "converted"  # below the cache


def readable(reference: str, plan: Plan, settings: Settings, observe: Observer) -> str:
    """The reference of what is to be served in place of an artifact that the engine cannot read.

    The copy lies in the cache under the digest of what it was made from, so that it is made once.

    Args:
        reference: to the artifact.
        plan: of its launch; only where the format is in the way something is converted.
        settings: where the cache is.
        observe: is told what is converted, or that nothing is.

    Raises:
        IncompatibleError: it has no exact counterpart in the other format, or does not fit.
        IntegrityError, TransferError: it is damaged, or there is no room for the copy.
    """
    from quantizers.convert import convert
    from registry.files import require_own
    from registry.resolve import resolve
    from registry.transfer.pulling import bring_here, pull
    from serving.rules.common import converted_name

    others = [error for error in plan.errors if error.id != "method"]
    if others:  # which a copy would not mend
        raise IncompatibleError(others[0].message, remedy=others[0].fix)
    if not plan.errors:
        observe(Note(f"Nothing is converted: {plan.engine} reads {plan.artifact} as it is"))
        return reference
    exact = bring_here(reference, settings, observe)
    pulled = pull(exact, settings, observe=observe)
    name, digest = pulled.manifest.name, pulled.manifest.digest
    folder = settings.cache / FOLDER / str(digest).removeprefix("sha256:")
    require_own(folder.parent, "The folder of converted copies")
    if folder.is_dir():
        observe(Note(f"{name} was converted to {FORMAT} before: {folder}"))
        return str(folder)
    source = resolve(str(pulled.folder), settings)
    copy = converted_name(name)
    done = convert(source, FORMAT, copy, settings, output=folder, observe=observe)
    observe(Note(f"{name} was converted to {FORMAT}, bit for bit: {done.folder}"))
    return str(done.folder)
