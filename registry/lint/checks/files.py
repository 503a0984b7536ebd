"""Checks of the files as such: names, links, modes, and what is not what its name says."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from registry.errors import IncompatibleError
from registry.finding import ERROR, INFO, WARNING
from registry.lint.check import Found, check, some
from registry.lint.subject import Subject
from registry.payload import MANIFEST_FILE

_CACHED = re.compile(r"(\.\./)+blobs/")
# Where programs keep passwords, tokens and keys.
_PRIVATE = re.compile(
    r"(.*/)?(\.env(\..+)?|\.netrc|\.git-credentials|\.npmrc|\.pypirc|\.aws/credentials|\.ssh/.+|"
    r"id_(rsa|dsa|ecdsa|ed25519))"
)
_NO_SECRET = (".example", ".sample", ".template", ".pub")
_DATA = (".safetensors", ".json", ".jinja", ".txt", ".model", ".md", ".yaml", ".yml")


@check(
    "unsafe-path",
    ERROR,
    prevents="A name such as ../x writes outside the folder that the artifact is pulled into.",
    seen="modelscope-hub 0.5.1 writes outside local_dir for such names",
    fix="Do not use this artifact, or rename the file and publish it anew.",
)
def unsafe_path(subject: Subject) -> Iterator[Found]:
    for fault in subject.checkpoint.faults:
        if fault.kind == "path":
            yield Found(fault.error.message, fault.where, fix=fault.error.remedy)


@check(
    "symlink",
    WARNING,
    prevents="A link out of the folder is published as what it points to, or as nothing.",
    seen="huggingface_hub 2.4 uploads a link's target",
    fix="Replace links by their files: cp -rL SOURCE NEW_FOLDER .",
    mendable=True,
)
def symlink(subject: Subject) -> Iterator[Found]:
    leaving = [
        entry
        for entry in subject.checkpoint.entries
        # A snapshot of the Hugging Face cache is a folder of links to its blobs.
        if entry.outside and not entry.problem and not _CACHED.match(entry.link or "")
    ]
    for fault in subject.checkpoint.faults:
        if fault.kind == "link":
            fix = "Copy the file that it points to from where it is: cp -rL SOURCE NEW_FOLDER ."
            yield Found(fault.error.message, fault.where, ERROR, fix)
    if leaving:
        paths = [entry.path for entry in leaving]
        yield Found(
            f"{some(paths, 'files')} point outside the folder, to {leaving[0].link}", paths[0]
        )


@check(
    "case-collision",
    WARNING,
    prevents="On a file system that ignores case one of the files overwrites the other.",
    seen="macOS, Windows and many network shares",
    fix="Rename one of them.",
)
def case_collision(subject: Subject) -> Iterator[Found]:
    by_folded = defaultdict(list)
    for path in subject.files:
        by_folded[path.casefold()].append(path)
    for paths in by_folded.values():
        if len(paths) > 1:
            yield Found(f"{' and '.join(sorted(paths))} differ in case only", paths[0])


@check(
    "private-file",
    ERROR,
    prevents="A password, token or key goes to everyone who may read the artifact.",
    seen="every file of a folder is published, hidden ones too",
    fix="Move it out of the folder; if it was published, revoke what is in it.",
)
def private_file(subject: Subject) -> Iterator[Found]:
    found = [p for p in subject.files if _PRIVATE.fullmatch(p) and not p.endswith(_NO_SECRET)]
    if found:
        yield Found(f"{some(found, 'files')} may hold secrets", found[0])


@check(
    "lfs-pointer",
    ERROR,
    prevents="The engine stops with 'invalid header' or loads a tokenizer of three lines of text.",
    seen="a clone without git-lfs leaves pointers of 130 bytes",
    fix="Fetch the files themselves: git lfs pull, or download them again.",
)
def lfs_pointer(subject: Subject) -> Iterator[Found]:
    found = subject.disguised("lfs-pointer")
    if found:
        yield Found(f"Git-LFS pointers stand in for {some(found, 'files')}", found[0])


@check(
    "web-page",
    ERROR,
    prevents="A proxy's login page was saved in place of the file.",
    seen="downloads through captive proxies",
    fix="Download the file again, past the proxy.",
)
def web_page(subject: Subject) -> Iterator[Found]:
    found = [p for p in subject.disguised("web-page") if not p.endswith((".html", ".htm"))]
    if found:
        yield Found(f"{some(found, 'files')} are web pages", found[0])


@check(
    "file-mode",
    WARNING,
    prevents="The server runs as another user and may not read the weights.",
    seen="msmodelslim 26.1.0 writes modes 0400 and 0600, llmcompressor 0.14 0600",
    fix="chmod a+r the files, or qreg lint --fix.",
    mendable=True,
)
def file_mode(subject: Subject) -> Iterator[Found]:
    closed = _closed_folders(subject)
    if closed:
        yield Found(f"Only its owner may enter the folder {some(closed, 'folders')}", closed[0])
    private = [
        e.path for e in subject.checkpoint.entries if e.mode is not None and not e.mode & 0o044
    ]
    if private:
        yield Found(f"Only their owner may read {some(private, 'files')}", private[0])
    executables = [
        e.path
        for e in subject.checkpoint.entries
        if e.mode is not None and e.mode & 0o111 and e.path.endswith(_DATA)
    ]
    # A whole folder of them comes from a file system without modes.
    modes = [e.mode for e in subject.checkpoint.entries if e.mode is not None]
    if executables and not all(mode & 0o111 for mode in modes):
        yield Found(
            f"{some(executables, 'data files')} are marked executable",
            executables[0],
            INFO,
            fix="chmod a-x the files, or qreg lint --fix.",
        )


def _closed_folders(subject: Subject) -> list[str]:
    root = subject.checkpoint.folder
    if root is None or not root.is_dir():
        return []
    folders = {".", *(str(PurePosixPath(path).parent) for path in subject.files)}
    return [name for name in sorted(folders) if not (root / name).stat().st_mode & 0o055]


@check(
    "json-damaged",
    ERROR,
    prevents="The engine stops while reading its settings, after minutes of loading.",
    seen="interrupted downloads and hand-edited files",
    fix="Copy or download the file again, or mend its JSON.",
)
def json_damaged(subject: Subject) -> Iterator[Found]:
    for fault in subject.checkpoint.faults:
        if fault.kind in ("config", "description") and fault.where in subject.files:
            yield Found(fault.error.message, fault.where, fix=fault.error.remedy)
    for path, size in subject.files.items():
        name = PurePosixPath(path).name
        if path == name and name in _SETTINGS and not subject.settings(path):
            text = subject.text(path)
            if text is None or "".join(text.split()) != "{}":
                yield Found(f"{path} ({size} bytes) holds no JSON object", path)
    error = subject.manifest_error
    if isinstance(error, IncompatibleError):  # it is sound, and this qreg is too old
        yield Found(error.message, MANIFEST_FILE, severity=WARNING, fix=error.remedy)
    elif error is not None:
        fix = "Remove qreg.json, or publish with --describe-anew."
        yield Found(f"qreg.json is no sound manifest: {error.message}", MANIFEST_FILE, fix=fix)
    # It is too large to be read whole from afar; a cut shows at its end.
    size = subject.files.get("tokenizer.json", 0)
    tail = min(size, 16)
    end = subject.source.read("tokenizer.json", size - tail, tail) if size else b"}"
    if not end.rstrip().endswith(b"}"):
        yield Found(f"tokenizer.json ({size} bytes) does not end as JSON does", "tokenizer.json")


_SETTINGS = (
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
)


CHECKS = (
    unsafe_path,
    symlink,
    case_collision,
    private_file,
    lfs_pointer,
    web_page,
    file_mode,
    json_damaged,
)
