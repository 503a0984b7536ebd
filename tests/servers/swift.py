"""OpenStack Swift with its s3api: SigV4, and digests checked on the way in.

Its If-None-Match is no lock: the object server looks for the object before it receives the body
(swift/obj/server.py, _pre_create_checks), so that puts which overlap can all succeed.

Settings as in Swift 2.38.3's sample files (etc/*-server.conf-sample of its source).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.interface import S3Server
from tests.servers.launch import launched

_ACCOUNT, _USER = "qreg", "tester"
_REGION = "us-east-1"
_SECONDS = 60  # for one server to answer another; the defaults of 0.5 to 10 fail on busy machines

_COMMON = """\
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
# Swift keeps 1% of a disk free and reserves space ahead: a test's disk is not its own.
fallocate_reserve = 0
disable_fallocate = true
log_level = WARNING
"""

_STORAGE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
conn_timeout = {seconds}
node_timeout = {seconds}
# An object is listed when its put returns: after this time the update would be left to a daemon.
container_update_timeout = {seconds}
"""

_PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth copy slo proxy-server
[app:{name}-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = {seconds}
node_timeout = {seconds}
recoverable_node_timeout = {seconds}
# There is one device: to shun it for a minute after ten errors would be to shut down.
error_suppression_interval = 0
[filter:s3api]
use = egg:swift#s3api
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret_key} .admin
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
"""


@contextmanager
def swift_server(folder: Path) -> Iterator[S3Server]:
    """Run Swift's proxy, account, container and object servers in one process.

    Args:
        folder: empty; gets the settings, the log and all objects. Its file system must have
            extended attributes, in which Swift keeps an object's metadata.

    Raises:
        OSError: the folder is not as above.
        RuntimeError: it did not start; the message has its output.
    """
    secret_key = secrets.token_hex(16)
    _configure(folder, secret_key)
    with launched("tests.servers.swift_program", folder, {}) as url:
        yield S3Server(url, f"{_ACCOUNT}:{_USER}", secret_key, _REGION, "swift")


def _configure(folder: Path, secret_key: str) -> None:
    device = folder / "devices" / "d1"
    device.mkdir(parents=True)
    os.setxattr(device, "user.qreg", b"")  # fails here, clearly, where Swift would fail at each put
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = qreg\n")
    facts = {
        "folder": folder,
        "seconds": _SECONDS,
        "region": _REGION,
        "account": _ACCOUNT,
        "user": _USER,
        "secret_key": secret_key,
    }
    for name in ("account", "container", "object", "proxy"):
        template = _COMMON + (_PROXY if name == "proxy" else _STORAGE)
        (folder / f"{name}.conf").write_text(template.format(name=name, **facts))
