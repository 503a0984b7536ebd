"""Large files on their way into the hub, for both APIs: offered addresses, parts, completion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import TransferError, TransientError
from registry.hub.access import Access, Token
from registry.hub.bodies import MOST, drain
from registry.hub.content import check_sha256, finish_parts, receive_part, receive_whole
from registry.hub.errors import Refusal
from registry.hub.parsing import few, whole
from registry.hub.repositories import Repositories
from registry.hub.requests import Object
from registry.hub.scopes import EVERY, READ, WRITE

_AT_ONCE = 48  # bodies of one token; others wait, with their senders held back by TCP
_TRIES, _PAUSE = 60, 0.5  # of putting parts together while one still comes; seconds between them
PART = 2**30  # bytes; larger files come in parts, so that a broken connection costs less


# An address that is signed, from its path and query.
_Address = Callable[..., str]


class Uploads:
    """Takes contents whose sha256 was announced.

    Args:
        repositories: keep them.
        access: signs the addresses, to which clients send no token.
        part: files larger than so many bytes come in parts of that size.
    """

    def __init__(self, repositories: Repositories, access: Access, part: int = PART) -> None:
        self._repositories, self._contents = repositories, repositories.contents
        self._access, self._part = access, part
        self._turns: dict[str, asyncio.Semaphore] = {}

    def routes(self) -> list[Route]:
        """The addresses that are offered."""
        return [
            Route("/upload/{sha256}", self.whole, methods=["PUT"]),
            Route("/upload/{sha256}/complete", self.complete, methods=["POST"]),
            Route("/upload/{sha256}/{number}", self.one_part, methods=["PUT"]),
        ]

    def offer(
        self, base: str, name: str, objects: Sequence[Object], token: Token, *, parts: bool = True
    ) -> list[dict[str, Any]]:
        """What git-LFS's batch API says of objects: nothing to do, or where to send each.

        Args:
            base: the hub's own address.
            name: ORG/NAME of the repository that they are for.
            objects: contents that the client has.
            token: of the client; the addresses end with it.
            parts: whether the client knows how to send parts.
        """
        sizes = {check_sha256(row.oid): row.size for row in objects}
        everything = self._access.may(token, READ, EVERY)
        absent = self._repositories.missing(name, sizes, everything=everything)
        if parts and self._contents.takes_parts:
            few(sum(sizes[sha256] // self._part for sha256 in absent), "The list of parts")
        address = self._addresses(base, name, token)
        return [
            self._offer(address, sha256, size, parts)
            if sha256 in absent
            else {"oid": sha256, "size": size}
            for sha256, size in sizes.items()
        ]

    def _offer(self, address: _Address, sha256: str, size: int, parts: bool) -> dict[str, Any]:
        row: dict[str, Any] = {"oid": sha256, "size": size}
        try:
            self._contents.require_space(size)
        except TransferError as error:
            row["error"] = {"code": 507, "message": error.message}
            return row
        if not (parts and self._contents.takes_parts) or size <= self._part:
            href = address(f"/upload/{sha256}", size=size)
            row["actions"] = {"upload": {"href": href, "header": {}}}
            return row
        header: dict[str, str] = {"chunk_size": str(self._part)}
        for number in range(1, -(-size // self._part) + 1):
            length = min(self._part, size - (number - 1) * self._part)
            path = f"/upload/{sha256}/{number}"
            header[str(number)] = address(path, length=length)
        href = address(f"/upload/{sha256}/complete", size=size)
        row["actions"] = {"upload": {"href": href, "header": header}}
        return row

    async def whole(self, request: Request) -> Response:
        name, sha256, size, token = self._checked(request, "size")
        if await run_in_threadpool(self._lacks, name, sha256, size, token):
            async with self._turn(token):
                await receive_whole(request, self._contents, name, sha256, size)
            await run_in_threadpool(self._repositories.note_sent, name, [sha256])
        else:
            await drain(request, size)  # somebody else was faster
        return JSONResponse({"Code": 200, "Success": True}, headers={"ETag": f'"{sha256}"'})

    async def one_part(self, request: Request) -> Response:
        name, sha256, length, token = self._checked(request, "length")
        number = whole(request.path_params["number"])
        if not number:
            raise Refusal(404, "Parts have numbers, from 1 on")
        offset = (number - 1) * self._part
        async with self._turn(token):
            etag = await receive_part(request, self._contents, name, sha256, offset, length)
        return JSONResponse({}, headers={"ETag": etag})

    async def complete(self, request: Request) -> Response:
        name, sha256, size, token = self._checked(request, "size")
        await drain(request, MOST)
        if await run_in_threadpool(self._lacks, name, sha256, size, token):
            await self._finish(name, sha256, size)
            await run_in_threadpool(self._repositories.note_sent, name, [sha256])
        return JSONResponse({})

    async def _finish(self, name: str, sha256: str, size: int) -> None:
        """Put parts together; an earlier try of one may still be about to end."""
        for tries_left in range(_TRIES, -1, -1):
            try:
                await run_in_threadpool(finish_parts, self._contents, name, sha256, size)
                return
            except TransientError:
                if not tries_left:
                    raise
            await asyncio.sleep(_PAUSE)  # no thread waits for others' connections

    def _turn(self, token: Token) -> asyncio.Semaphore:
        """Held while a body comes, so that no token has all threads that receive bodies."""
        return self._turns.setdefault(token.name, asyncio.Semaphore(_AT_ONCE))

    def _lacks(self, name: str, sha256: str, size: int, token: Token) -> bool:
        everything = self._access.may(token, READ, EVERY)
        return bool(self._repositories.missing(name, {sha256: size}, everything=everything))

    def _addresses(self, base: str, name: str, token: Token) -> _Address:
        sign = self._access.signer(token)

        def address(path: str, **query: int) -> str:
            return base + sign(f"{path}?{urlencode({'name': name, **query})}")

        return address

    def _checked(self, request: Request, number: str) -> tuple[str, str, int, Token]:
        """The repository, the sha256 and the number that a signed address names, and for whom."""
        # Not request.url: older versions of starlette read it together with the Host header.
        text = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        value = whole(request.query_params.get(number, ""))
        name, token = request.query_params.get("name", ""), self._access.signed_for(text)
        if value is None or token is None or not self._access.may(token, WRITE, name):
            raise Refusal(403, "This address was not offered here, or is no longer valid")
        return name, check_sha256(request.path_params["sha256"]), value, token
