"""The process of `moto_server`: moto's WSGI application on a port that the system chooses."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.launch import announce, exit_with_parent

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


def main(folder: Path) -> None:
    exit_with_parent()
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        "127.0.0.1", 0, atomic(application), threaded=True, request_handler=MotoRequestHandler
    )
    announce(folder, server.port)
    server.serve_forever()


def atomic(application: WSGIApplication) -> WSGIApplication:
    """Answer writes that have a condition one at a time.

    S3 promises that of several at once one succeeds. moto 5.2.5 looks, then writes, with nothing in
    between that keeps other threads out.
    """
    one_at_a_time = threading.Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        reads = environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if reads or not any(name in environ for name in _CONDITIONS):
            return application(environ, start_response)
        with one_at_a_time:
            return application(environ, start_response)

    return answer


if __name__ == "__main__":
    main(Path(sys.argv[1]))
