"""Real S3 servers on this machine, from the package index: Swift for truth, moto for If-Match."""

from tests.servers.interface import S3Server, client_of, s3_client
from tests.servers.moto import moto_server
from tests.servers.swift import swift_server

__all__ = ["S3Server", "client_of", "moto_server", "s3_client", "swift_server"]
