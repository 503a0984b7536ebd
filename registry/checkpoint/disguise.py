"""What a file really is, by its first bytes, when it is not what its name says."""

from __future__ import annotations

import re

# Kind: (first bytes, what to call it). Longer prefixes come first.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "lfs-pointer"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x7fELF", "executable"),
    (b"\xcf\xfa\xed\xfe", "executable"),  # Mach-O, 64 bits
    (b"\xca\xfe\xba\xbe", "executable"),  # Mach-O, universal; Java classes, too
    (b"#!", "script"),
    (b"MZ", "executable"),  # Windows
    (b"PK\x03\x04", "archive"),  # also torch.save's format since 1.6
    (b"\x1f\x8b", "archive"),
)
# Pickle protocols 2 to 5: PROTO opcode and the protocol's number.
_PICKLE = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
# Protocols 0 and 1 have no opcode in front. 0 is text: an empty dict or list that is kept in the
# memo, or a module and a name in it (GLOBAL) and what is done with them: kept in the memo, or
# called. A list of words may look like a module and a name, but does not go on like that.
_OLD_PICKLE = re.compile(
    rb"\([dl]p\d+\n"
    rb"|\(?c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n(?:p\d+\n[(.)]|\((?:[SV]['\"]|c\w|I\d)|\(?tR|q\x00)"
    rb"|[}\]]q\x00"
)
DISGUISES = tuple(sorted({kind for _, kind in _MAGIC} | {"pickle", "web-page"}))
HEAD = 64  # bytes that are enough to tell


def disguise_of(head: bytes) -> str | None:
    """One of DISGUISES by a file's first bytes (`HEAD` are enough), or None."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "web-page"
    # The length of a safetensors header can begin with the same bytes; then a brace follows.
    pickled = head.startswith(_PICKLE) or _OLD_PICKLE.match(head)
    return "pickle" if pickled and head[8:9] != b"{" else None
