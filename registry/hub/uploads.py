"""Large files on their way into the hub, for both APIs: offered addresses, parts, completion."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import TransferError
from registry.hub.access import Access
from registry.hub.commits import Blob
from registry.hub.content import check_sha256, finish_parts, receive_part, receive_whole
from registry.hub.errors import Refusal
from registry.stores.blobs import Blobs, require_space

PART = 2**30  # bytes; larger files come in parts, so that a broken connection costs less


class Uploads:
    """Takes contents whose sha256 was announced.

    Args:
        blobs: keeps them.
        access: signs the addresses, to which clients send no token.
        part: files larger than so many bytes come in parts of that size.
    """

    def __init__(self, blobs: Blobs, access: Access, part: int = PART) -> None:
        self._blobs, self._access, self._part = blobs, access, part

    def routes(self) -> list[Route]:
        """The addresses that are offered."""
        return [
            Route("/upload/{sha256}", self.whole, methods=["PUT"]),
            Route("/upload/{sha256}/{number:int}", self.one_part, methods=["PUT"]),
            Route("/upload/{sha256}/complete", self.complete, methods=["POST"]),
        ]

    def offer(self, base: str, sha256: str, size: int, *, parts: bool = True) -> dict[str, Any]:
        """What git-LFS's batch API says of one object: nothing to do, or where to send it."""
        check_sha256(sha256)
        row: dict[str, Any] = {"oid": sha256, "size": size}
        if self._blobs.has(sha256, size):
            return row
        try:
            require_space(self._blobs.root, size, "This upload")
        except TransferError as error:
            row["error"] = {"code": 507, "message": error.message}
            return row
        if not parts or size <= self._part:
            href = self._address(base, f"/upload/{sha256}", size=size)
            row["actions"] = {"upload": {"href": href, "header": {}}}
            return row
        header: dict[str, str] = {"chunk_size": str(self._part)}
        for number in range(1, -(-size // self._part) + 1):
            length = min(self._part, size - (number - 1) * self._part)
            path = f"/upload/{sha256}/{number}"
            header[str(number)] = self._address(base, path, length=length)
        href = self._address(base, f"/upload/{sha256}/complete", size=size)
        row["actions"] = {"upload": {"href": href, "header": header}}
        return row

    def uploaded(self, sha256: str, size: int) -> Blob:
        """A content that was uploaded; a Refusal if it was not."""
        if not self._blobs.has(check_sha256(sha256), size):
            raise Refusal(400, f"The content {sha256} was not uploaded")
        return Blob(size, sha256)

    async def whole(self, request: Request) -> Response:
        sha256, size = self._checked(request, "size")
        if not self._blobs.has(sha256, size):
            await receive_whole(request, self._blobs, sha256, size)
        else:
            async for _ in request.stream():  # somebody else was faster
                pass
        return JSONResponse({"Code": 200, "Success": True}, headers={"ETag": f'"{sha256}"'})

    async def one_part(self, request: Request) -> Response:
        sha256, length = self._checked(request, "length")
        number = request.path_params["number"]
        part = self._blobs.root / "partial" / f"upload-{sha256}"
        etag = await receive_part(request, part, (number - 1) * self._part, length)
        return JSONResponse({}, headers={"ETag": etag})

    async def complete(self, request: Request) -> Response:
        sha256, size = self._checked(request, "size")
        await request.body()
        part = self._blobs.root / "partial" / f"upload-{sha256}"
        await run_in_threadpool(finish_parts, self._blobs, part, sha256, size)
        return JSONResponse({})

    def _address(self, base: str, path: str, **query: int) -> str:
        return base + self._access.sign(f"{path}?{urlencode(query)}")

    def _checked(self, request: Request, number: str) -> tuple[str, int]:
        """The sha256 and the number that a signed address names."""
        text = request.url.path + "?" + request.url.query
        value = request.query_params.get(number, "")
        if not self._access.is_signed(text) or not value.isdigit():
            raise Refusal(403, "This address was not offered here, or is no longer valid")
        return check_sha256(request.path_params["sha256"]), int(value)
