"""What this machine can do at most, for `benchmarks.transfer`: no client can be faster.

python -m benchmarks.bare hash FOLDER        sha256 of all files, a thread a core
python -m benchmarks.bare receive HOST:PORT TOKEN PATH…
                                             bodies of HTTP, received and dropped, 4 at once
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PIECE = 2**20


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "hash":
        files = sorted(Path(arguments[0]).iterdir())
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_hash, files))
        return
    address, token, *paths = arguments
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda path: _receive(address, token, path), paths))


def _hash(file: Path) -> None:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with file.open("rb", buffering=0) as reader:
        while count := reader.readinto(buffer):
            digest.update(buffer[:count])


def _receive(address: str, token: str, path: str) -> None:
    host, _, port = address.rpartition(":")
    buffer = memoryview(bytearray(_PIECE))
    with socket.create_connection((host, int(port))) as peer:
        request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n"
        peer.sendall(f"{request}Authorization: Bearer {token}\r\n\r\n".encode())
        while peer.recv_into(buffer):
            pass


if __name__ == "__main__":
    main()
