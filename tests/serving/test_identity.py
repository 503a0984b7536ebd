"""Who answers on a port."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from registry.errors import UsageError
from serving.identity import free_port, process_tree, require_free_port, strangers_on

LISTEN = """
import socket, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.1", {port})); s.listen()
print("up", flush=True); time.sleep(60)
"""


def _listener(port: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN.format(port=port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def _end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def test_a_taken_port_is_refused() -> None:
    port = free_port()
    require_free_port("127.0.0.1", port)
    other = _listener(port)
    try:
        with pytest.raises(UsageError, match=f"Port {port}") as caught:
            require_free_port("127.0.0.1", port)
        assert "--port" in caught.value.remedy
    finally:
        _end(other)
    with pytest.raises(UsageError, match="not a port"):
        require_free_port("127.0.0.1", 70000)


def test_a_listener_that_is_not_ours_is_named() -> None:
    port = free_port()
    other = _listener(port)
    try:
        assert strangers_on(port, {other.pid}) == ""
        assert strangers_on(port, {1}) == f"process {other.pid}"
        assert strangers_on(free_port(), {1}) == "nobody"
    finally:
        _end(other)


def test_a_stale_server_that_shares_the_port_is_seen() -> None:
    """With SO_REUSEPORT both listen, and requests go to either."""
    port = free_port()
    stale, ours = _listener(port), _listener(port)
    try:
        assert strangers_on(port, {ours.pid}) == f"process {stale.pid}"
    finally:
        _end(stale, ours)


def test_process_trees() -> None:
    child = _listener(free_port())
    try:
        assert {os.getpid(), child.pid} <= process_tree(os.getpid())
    finally:
        _end(child)
    assert process_tree(2**22 + 1) == set()
