"""The process that serves a hub: one address, requests finished before it ends."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from registry.errors import IncompatibleError, UsageError

if TYPE_CHECKING:
    import uvicorn

    from registry.hub.backends import Backend
    from registry.hub.connections import Limits

_GRACE = 30  # seconds that requests under way have when the server is asked to end


def serve(
    backend: Backend,
    host: str,
    port: int,
    *,
    open_to_all: bool = False,
    part: int = 2**30,
    public_url: str = "",
    proxies: Iterable[str] = (),
    limits: Limits | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve a registry until SIGINT or SIGTERM; requests under way are finished.

    Args:
        backend: what the hub keeps its repositories in; it is made if it is new.
        host: to listen on.
        port: 0 for any free one.
        open_to_all: let everyone read and write without a token.
        part: files larger than so many bytes are uploaded in parts of that size.
        public_url: by which clients reach it; empty: as each request says.
        proxies: addresses and networks whose X-Forwarded-… headers are believed.
        limits: of connections, where they are not the usual ones.
        ready: is told the URL when connections are accepted.

    Raises:
        UsageError: the address cannot be listened on, or one of the others is none.
        IncompatibleError: starlette or uvicorn are not installed.
    """
    try:
        import uvicorn

        from registry.hub.app import create_app
        from registry.hub.connections import Limits, with_limits
        from registry.hub.direct import Pool, with_direct
        from registry.hub.front import Front
    except ImportError as error:
        raise IncompatibleError(
            f"Serving a hub needs {error.name}, which is not installed",
            remedy="pip install 'qreg[serve]' .",
        ) from error
    front = Front.of(host, public_url, proxies)
    limits = replace(limits or Limits(), is_proxy=front.is_proxy)
    limits = replace(limits, connections=min(limits.connections, _most_connections()))
    backend.prepare()
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(backend, open_to_all=open_to_all, part=part, front=front),
        http=with_limits(with_direct(Pool()), limits),
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=limits.idle,
        proxy_headers=False,  # front.py reads them; uvicorn would believe all on this machine
        server_header=False,
    )
    server = _Server(config, lambda: ready(url))
    with listener:
        server.run(sockets=[listener])


def _Server(config: uvicorn.Config, started: Callable[[], None]) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            started()

    return Server(config)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol. Without it every small
    # answer waits 40 ms for the client's acknowledgement of its headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"{host}:{port} cannot be listened on: {error}",
            remedy="Name another --port, or stop what listens there.",
        ) from error
    return listener


def _most_connections() -> int:
    """How many connections there are files for, after asking for as many as one may have.

    An upload has three: its socket, that again for a thread, and the file that it goes to.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2**16 if hard == resource.RLIM_INFINITY else min(hard, 2**16)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return 2**16 if soft == resource.RLIM_INFINITY else max(16, (soft - 100) // 3)
