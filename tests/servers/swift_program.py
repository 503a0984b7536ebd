"""The process of `swift_server`: four WSGI servers as green threads, one device, one replica."""

from __future__ import annotations

import socket
import sys
import warnings
from pathlib import Path
from typing import Any

from tests.servers.launch import announce, exit_with_parent

_NAMES = ("account", "container", "object", "proxy")


def main(folder: Path) -> None:
    exit_with_parent()
    from swift.common import utils

    utils.monkey_patch()
    utils.set_swift_dir(str(folder))
    utils.get_logger({"log_level": "WARNING"}, log_to_console=True)  # and all loggers from now on
    utils.disable_fallocate()
    sockets = {name: _listen() for name in _NAMES}
    for name in _NAMES[:-1]:
        _write_ring(folder, name, sockets[name].getsockname()[1])
    _serve(folder, sockets)


def _listen() -> Any:
    import eventlet

    listening = eventlet.listen(("127.0.0.1", 0), backlog=128)
    # Else each small answer waits for the client's delayed acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _write_ring(folder: Path, name: str, port: int) -> None:
    from swift.common.ring import RingBuilder

    builder = RingBuilder(part_power=0, replicas=1, min_part_hours=0)
    device = {"id": 0, "region": 1, "zone": 1, "weight": 1.0, "device": "d1"}
    builder.add_dev({**device, "ip": "127.0.0.1", "port": port})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{name}.ring.gz"))


def _serve(folder: Path, sockets: dict[str, Any]) -> None:
    import eventlet
    from swift.common.wsgi import loadapp

    applications = {name: loadapp(str(folder / f"{name}.conf")) for name in _NAMES}
    announce(folder, sockets["proxy"].getsockname()[1])
    for name in _NAMES[:-1]:
        eventlet.spawn(_answer, sockets[name], applications[name])
    _answer(sockets["proxy"], applications["proxy"])


def _answer(listening: Any, application: Any) -> None:
    # As swift.common.wsgi.run_server, which cannot be had four times: each chooses the event loop.
    import eventlet.wsgi
    from swift.common.http_protocol import SwiftHttpProtocol
    from swift.common.utils import NullLogger

    warnings.filterwarnings("ignore", message="capitalize_response_headers is disabled")
    eventlet.wsgi.server(
        listening,
        application,
        NullLogger(),
        protocol=SwiftHttpProtocol,
        capitalize_response_headers=False,  # AWS's clients look for ETag, not for Etag
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
