"""The Hugging Face Hub's routes for writing, as huggingface_hub 2.4 uses them without Xet."""

from __future__ import annotations

from contextlib import aclosing
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.hub import bodies, parsing, requests
from registry.hub.commits import MAIN, Blob, is_large
from registry.hub.committing import Gathering
from registry.hub.conflicts import AlreadyThere
from registry.hub.content import check_sha256
from registry.hub.errors import Refusal
from registry.hub.front import base_url, repository_name
from registry.hub.guard import NO_REPOSITORY, Guard
from registry.hub.huggingface import NO_ENTRY, NO_REVISION, find_tree, revision_of
from registry.hub.uploads import Uploads
from registry.payload import in_hidden_folder

T = TypeVar("T")


class HuggingFaceWriting:
    """Handlers; each takes a request and answers it.

    Args:
        guard: lets requests through.
        uploads: takes large files.
    """

    def __init__(self, guard: Guard, uploads: Uploads) -> None:
        self._guard, self._uploads = guard, uploads
        self._repositories = guard.repositories

    def routes(self) -> list[Route]:
        """All routes."""
        model = "/api/models/{org}/{name}"
        return [
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/repos/delete", self.delete, methods=["DELETE"]),
            Route(f"{model}/settings", self.settings, methods=["PUT"]),
            Route(f"{model}/tag/{{revision}}", self.tag, methods=["POST"]),
            Route(f"{model}/tag/{{tag}}", self.untag, methods=["DELETE"]),
            Route(f"{model}/branch/{{branch}}", self.branch, methods=["POST"]),
            Route(f"{model}/branch/{{branch}}", self.unbranch, methods=["DELETE"]),
            Route(f"{model}/preupload/{{revision}}", self.preupload, methods=["POST"]),
            Route(f"{model}/commit/{{revision}}", self.commit, methods=["POST"]),
            Route("/{org}/{name}.git/info/lfs/objects/batch", self.batch, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        await run_in_threadpool(self._guard.creating, request)
        asked = await bodies.read(request, requests.Create)
        return await run_in_threadpool(self._create, request, asked)

    def _create(self, request: Request, asked: requests.Create) -> Response:
        org = asked.organization or self._guard.who(request).name
        name = f"{org}/{asked.name}"
        self._guard.creating(request, name)
        if asked.type not in ("model", "", None):
            raise Refusal(400, "This hub keeps models only")
        private = requests.is_private(asked)
        url = f"{base_url(request)}/{name}"
        try:
            self._repositories.create(name, private=private)
        except AlreadyThere as error:
            return JSONResponse({"error": error.message, "url": url}, 409)
        return JSONResponse({"url": url, "name": name, "id": name})

    async def delete(self, request: Request) -> Response:
        await run_in_threadpool(self._guard.creating, request)
        asked = await bodies.read(request, requests.Delete)
        if asked.type not in ("model", "", None):
            raise Refusal(404, f"This hub keeps models only, no {asked.type[:40]}", NO_REPOSITORY)
        name = f"{asked.organization or ''}/{asked.name}"
        return await run_in_threadpool(self._delete, request, name)

    def _delete(self, request: Request, name: str) -> Response:
        self._guard.writing(request, name)
        self._repositories.delete(name)
        return JSONResponse({})

    async def settings(self, request: Request) -> Response:
        private = requests.private_of(await self._asked(request, requests.Settings))
        if private is not None:
            name = repository_name(request)
            await run_in_threadpool(self._repositories.set_private, name, private)
        return JSONResponse({})

    async def tag(self, request: Request) -> Response:
        asked = await self._asked(request, requests.Tag)

        def make() -> Response:
            name = repository_name(request)
            find_tree(self._repositories, name, revision_of(request))
            self._repositories.tag(name, asked.tag, revision_of(request))
            return JSONResponse({})

        return await run_in_threadpool(make)

    def untag(self, request: Request) -> Response:
        self._guard.writing(request, repository_name(request))
        try:
            self._repositories.remove_tag(repository_name(request), request.path_params["tag"])
        except NotFoundError as error:
            raise Refusal(404, error.message, NO_REVISION) from error
        return JSONResponse({})

    async def branch(self, request: Request) -> Response:
        start = (await self._asked(request, requests.Branch)).starting_point or MAIN

        def make() -> Response:
            name = repository_name(request)
            find_tree(self._repositories, name, start)
            self._repositories.branch(name, request.path_params["branch"], start)
            return JSONResponse({})

        return await run_in_threadpool(make)

    def unbranch(self, request: Request) -> Response:
        self._guard.writing(request, repository_name(request))
        self._repositories.remove_branch(repository_name(request), request.path_params["branch"])
        return JSONResponse({})

    async def preupload(self, request: Request) -> Response:
        _refuse_pull_request(request)
        asked = await self._asked(request, requests.Preupload, bodies.MOST)

        def look() -> Response:
            name, contents = repository_name(request), self._repositories.contents
            files = find_tree(self._repositories, name, revision_of(request)).files
            rows = []
            known = {f.path: files[f.path] for f in asked.files if f.path in files}
            absent = contents.missing(name, {blob.sha256: blob.size for blob in known.values()})
            for file in asked.files:
                mode = "lfs" if is_large(file.path, file.size) else "regular"
                there = known.get(file.path)
                # Clients do not send again what they are told to be there: it must be sound.
                oid = there.etag if there and there.sha256 not in absent else None
                told = {"uploadMode": mode, "shouldIgnore": in_hidden_folder(file.path)}
                rows.append({"path": file.path, "oid": oid, **told})
            return JSONResponse({"files": rows})

        return await run_in_threadpool(look)

    async def batch(self, request: Request) -> Response:
        asked = await self._asked(request, requests.Batch, bodies.MOST)

        def plan() -> Response:
            name, base = repository_name(request), base_url(request)
            token = self._guard.who(request)
            return JSONResponse(
                {
                    "transfer": "basic",
                    "objects": self._uploads.offer(base, name, asked.objects, token),
                    "hash_algo": "sha256",
                },
                media_type="application/vnd.git-lfs+json",
            )

        return await run_in_threadpool(plan)

    async def commit(self, request: Request) -> Response:
        _refuse_pull_request(request)
        name = repository_name(request)
        await run_in_threadpool(self._guard.writing, request, name)
        gathering = Gathering(self._repositories, name)
        header: requests.Header | None = None
        async with aclosing(bodies.lines(request)) as batches:
            async for batch in batches:
                found = await run_in_threadpool(_gather, gathering, batch)
                if found is not None:  # it comes first: nothing is kept for what will be refused
                    if header is not None:
                        raise Refusal(400, "The commit has two headers")
                    header = found
                    await run_in_threadpool(self._require_newest, request, header)
        return await run_in_threadpool(
            self._commit, request, gathering, header or requests.Header()
        )

    def _commit(self, request: Request, gathering: Gathering, header: requests.Header) -> Response:
        name = repository_name(request)
        token = self._guard.writing(request, name)  # once more: its body may have taken an hour
        gathering.keep()
        try:
            oid = self._repositories.commit(
                name,
                revision_of(request),
                gathering.apply,
                message=header.summary[:500],
                parent=header.parent_commit or "",
                everything=self._guard.reads_all(token),
            )
        except NotFoundError as error:
            raise Refusal(404, error.message, NO_REVISION) from error
        return JSONResponse(
            {
                "success": True,
                "commitOid": oid,
                "commitUrl": f"{base_url(request)}/{name}/commit/{oid}",
                "hookOutput": "",
            }
        )

    def _require_newest(self, request: Request, header: requests.Header) -> None:
        name, parent = repository_name(request), header.parent_commit or ""
        self._repositories.require_newest(name, revision_of(request), parent)

    async def _asked(self, request: Request, kind: type[T], limit: int = bodies.SMALL) -> T:
        """What a request to a repository says, after it is known that its bearer may write."""
        await run_in_threadpool(self._guard.writing, request, repository_name(request))
        asked = await bodies.read(request, kind, limit)
        # Once more: the token may have been revoked while the body came.
        await run_in_threadpool(self._guard.writing, request, repository_name(request))
        return asked


def _refuse_pull_request(request: Request) -> None:
    """What was meant for a review must not become the main branch."""
    if request.query_params.get("create_pr", "").lower() not in ("", "0", "false"):
        raise Refusal(
            400,
            "This hub has no pull requests, and nothing was changed: commit to a branch instead "
            "(create_branch, then revision=BRANCH), or leave create_pr out",
        )


def _gather(gathering: Gathering, lines: list[bytes]) -> requests.Header | None:
    """Take the operations of some lines of a commit; returns its header if that is among them."""
    header = None
    for line in lines:
        operation = parsing.parse_line(line)
        if isinstance(operation, requests.HeaderLine):
            if header is not None:
                raise Refusal(400, "The commit has two headers")
            header = operation.value
        elif isinstance(operation, requests.FileLine):
            file = operation.value
            content = parsing.content_of(file.path, file.content, file.encoding)
            gathering.put(file.path, content)
        elif isinstance(operation, requests.LfsFileLine):
            large = operation.value
            gathering.place(large.path, Blob(large.size, check_sha256(large.oid)))
        elif isinstance(operation, requests.DeletedFileLine):
            gathering.do(operation.value.path, _delete_file)
        else:
            gathering.do(operation.value.path, _delete_folder)
    return header


def _delete_file(files: dict[str, Blob], path: str) -> None:
    if files.pop(path, None) is None:
        raise Refusal(404, f"A file with this name doesn't exist: {path}", NO_ENTRY)


def _delete_folder(files: dict[str, Blob], path: str) -> None:
    for known in [known for known in files if known.startswith(f"{path}/")]:
        del files[known]
