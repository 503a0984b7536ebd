"""Who listens on a port. A health check alone would take a stale server for the one started."""

from __future__ import annotations

import socket

from registry.errors import UsageError


def require_free_port(host: str, port: int) -> None:
    """Raise UsageError if anything listens on the port already."""
    if not 0 < port < 65536:
        raise UsageError(f"{port} is not a port", remedy="Choose one from 1 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} on {host} cannot be used: {error.strerror}",
                remedy="Choose another one with --port ; `ss -ltnp` shows who has it.",
            ) from error


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def process_tree(root: int) -> set[int]:
    """The process ids of `root` and everything below it."""
    import psutil

    try:
        process = psutil.Process(root)
        return {root, *(child.pid for child in process.children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


def strangers_on(port: int, ours: set[int]) -> str:
    """Who but `ours` listens on a port of this machine; empty if only they do.

    All listeners count: with SO_REUSEPORT several processes can share a port, and the kernel deals
    requests out among them. A listener of another user shows without its process id.
    """
    import psutil

    listeners = [
        connection.pid
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == port
    ]
    if not listeners:
        return "nobody"
    foreign = [pid for pid in listeners if pid not in ours]
    return ", ".join(
        "another user's process" if pid is None else f"process {pid}" for pid in foreign
    )
