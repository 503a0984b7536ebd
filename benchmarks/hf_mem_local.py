"""hf-mem against a hub on this machine: its own command line, its host name redirected.

    python -m benchmarks.hf_mem_local http://127.0.0.1:PORT --model-id ORG/NAME …

hf-mem 0.5.6 asks https://huggingface.co whatever HF_ENDPOINT says. Only the address of each request
is changed here, and plain HTTP is faster than what hf-mem meets in the world.
"""

from __future__ import annotations

import sys

import httpx2
from hf_mem.cli import main


class _Redirected(httpx2.AsyncHTTPTransport):
    hub = httpx2.URL("http://127.0.0.1")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(
            scheme="http", host=self.hub.host, port=self.hub.port, raw_path=request.url.raw_path
        )
        return await super().handle_async_request(request)


if __name__ == "__main__":
    _Redirected.hub = httpx2.URL(sys.argv.pop(1))
    plain = httpx2.AsyncClient

    def client(*args: object, limits: object = None, **kwargs: object) -> httpx2.AsyncClient:
        kwargs.pop("http2", None)  # without TLS there is none
        transport = _Redirected(limits=limits) if limits else _Redirected()  # type: ignore[arg-type]
        return plain(*args, transport=transport, **kwargs)  # type: ignore[arg-type]

    httpx2.AsyncClient = client  # type: ignore[misc,assignment]
    main()
