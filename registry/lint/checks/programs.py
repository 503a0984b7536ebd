"""Checks of files that run, or that run code when they are loaded: pickles, programs, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from registry.finding import ERROR, WARNING
from registry.lint.check import Found, check, some
from registry.lint.checks.code import remote_code
from registry.lint.subject import Subject

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill")
_ARCHIVES = (".zip", ".gz", ".npz")
_BINARIES = (".dll", ".exe", ".dylib", ".o", ".pyc")
_LIBRARY = re.compile(r"\.so(\.\d{1,9}){0,9}\Z")  # libfoo.so, libfoo.so.1.2


@check(
    "pickle-disguised",
    ERROR,
    prevents="Code of strangers runs when a loader tries the file as a pickle.",
    seen="picklescan 1.0.5 misses a pickle named .safetensors",
    fix="Do not load this file; get the model from its publisher again.",
)
def pickle_disguised(subject: Subject) -> Iterator[Found]:
    for kind in ("pickle", "archive"):
        found = [
            path
            for path in subject.disguised(kind)
            if not path.lower().endswith((*_PICKLES, *_ARCHIVES))
        ]
        if found:
            yield Found(
                f"{some(found, 'files')} "
                + ("hold pickles" if kind == "pickle" else "are archives, as torch.save writes")
                + " under another name",
                found[0],
            )


@check(
    "pickle",
    WARNING,
    prevents="Loaders that find no safetensors load pickles, which can run any code.",
    seen="CVE-2025-32434 (torch.load, even with weights_only)",
    fix="Remove the file if safetensors hold the same weights; qreg never loads it.",
)
def pickle(subject: Subject) -> Iterator[Found]:
    found = [path for path in subject.files if path.lower().endswith(_PICKLES)]
    if found:
        yield Found(f"{some(found, 'files')} hold pickles, by their names", found[0])


@check(
    "executable",
    WARNING,
    prevents="A program inside a model reaches machines that nobody expects programs on.",
    seen="model hubs' malware scans",
    fix="Remove the program; a model needs none.",
)
def executable(subject: Subject) -> Iterator[Found]:
    named = [path for path in subject.files if _is_program(path.lower())]
    found = list(dict.fromkeys([*named, *subject.disguised("executable")]))
    if found:
        yield Found(f"{some(found, 'files')} are programs", found[0])
    scripts = _scripts(subject)
    if scripts:
        yield Found(f"{some(scripts, 'files')} are scripts that are marked executable", scripts[0])


def _is_program(path: str) -> bool:
    return path.endswith(_BINARIES) or _LIBRARY.search(path) is not None


def _scripts(subject: Subject) -> list[str]:
    """Scripts that are marked executable and are no code of the model."""
    modes = {e.path: e.mode for e in subject.checkpoint.entries if e.mode is not None}
    # A whole folder of them comes from a file system without modes.
    if all(mode & 0o111 for mode in modes.values()):
        return []
    marked = [path for path in subject.disguised("script") if modes.get(path, 0) & 0o111]
    return [path for path in marked if path not in remote_code(subject).files] if marked else []


CHECKS = (pickle_disguised, pickle, executable)
