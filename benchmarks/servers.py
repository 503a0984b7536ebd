"""Servers that benchmarks measure with and against, on loopback, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.identity import free_port
from tests.servers import client_of, moto_server, s3_client, swift_server

BUCKET = "bucket"


@contextmanager
def nginx(root: Path, served: Path) -> Iterator[str]:
    """nginx with a folder as its root; an empty URL where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        print("nginx is not on the PATH: serving is not measured against it")
        yield ""
        return
    port = free_port()
    temporary = " ".join(
        f"{kind}_temp_path {root}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = root / "nginx.conf"
    config.write_text(
        f"daemon off; pid {root}/nginx.pid; error_log {root}/nginx.log; user root;\n"
        f"events {{}} http {{ access_log off; sendfile on; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}; root {served}; }} }}\n"
    )
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def swift(root: Path) -> Iterator[dict[str, str]]:
    """OpenStack Swift's s3api with a bucket; the environment that leads there."""
    folder = root / "swift"
    folder.mkdir()
    with swift_server(folder) as server:
        client_of(server).create_bucket(Bucket=BUCKET)
        yield server.environment
    shutil.rmtree(folder)


@contextmanager
def moto(root: Path) -> Iterator[dict[str, str]]:
    """moto's S3 with a bucket; the environment that leads there."""
    with moto_server() as server:
        client_of(server).create_bucket(Bucket=BUCKET)
        yield server.environment


@contextmanager
def localbucket(root: Path) -> Iterator[dict[str, str]]:
    """localbucket's S3 with a bucket; the environment that leads there, empty where it is not."""
    if not shutil.which("localbucket"):
        print("localbucket is not on the PATH: S3 is not measured with it")
        yield {}
        return
    folder, port = root / "localbucket", free_port()
    folder.mkdir()
    command = ["localbucket", "--host", "127.0.0.1", "--port", str(port), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
    }
    try:
        time.sleep(3)
        s3_client(environment).create_bucket(Bucket=BUCKET)
        yield environment
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


S3_SERVERS = {"Swift": swift, "moto": moto, "localbucket": localbucket}
