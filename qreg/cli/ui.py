"""`qreg ui`."""

from __future__ import annotations

import os
import time

import click

from qreg.cli.common import PORT, command_options
from qreg.cli.output import Output
from registry.config import Settings
from registry.errors import ToolError


@click.command("ui")
@click.option("--port", default=5000, show_default=True, type=PORT, help="Port on 127.0.0.1.")
@command_options
def command(output: Output, settings: Settings, port: int) -> None:
    """Open MLflow's UI on the tracked runs and the registered models, until Ctrl-C."""
    from registry.tracking.ui import page, server_command, server_environment

    if settings.tracking_uri.startswith(("http://", "https://")):
        url = page(settings.tracking_label)
        output.result({"url": url}, lambda console: console.print(url), essential=url)
        return
    from serving.identity import require_free_port
    from serving.probe import is_healthy
    from toolchains.process import started

    require_free_port("127.0.0.1", port)
    output.note("Starting MLflow …")
    base = f"http://127.0.0.1:{port}"
    ready = False
    log = settings.new_log("mlflow-ui")
    try:
        with started(
            server_command(settings, port),
            log=log,
            env=server_environment(settings),
            cwd=settings.mlflow,
            # MLflow's own: the password of a database, the keys of its artifacts' bucket.
            secrets=[name for name in os.environ if name.startswith(("MLFLOW_", "AWS_"))],
        ) as server:
            while not is_healthy(base):
                if not server.running:
                    raise ToolError("MLflow's server ended at start-up", details=server.tail())
                time.sleep(0.2)
            url, ready = page(base), True
            output.result(
                {"url": url},
                lambda console: console.print(f"MLflow is at {url}  (Ctrl-C stops it)"),
                essential=url,
            )
            while server.running:
                time.sleep(0.2)
            raise ToolError("MLflow's server ended", details=server.tail())
    except KeyboardInterrupt:
        if not ready:
            raise
        output.note("Stopped.")
