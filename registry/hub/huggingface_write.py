"""The Hugging Face Hub's routes for writing, as huggingface_hub 2.4 uses them without Xet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.hub.asked import (
    MOST_COMMIT,
    base_url,
    body_of,
    content_of,
    flag_of,
    json_body,
    repository_name,
    text_of,
)
from registry.hub.commits import MAIN, Blob, is_large
from registry.hub.content import check_sha256
from registry.hub.errors import Refusal
from registry.hub.guard import Guard
from registry.hub.huggingface import NO_ENTRY, NO_REVISION, find_tree, revision_of
from registry.hub.repositories import AlreadyThere
from registry.hub.uploads import Uploads
from registry.names import check_path


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
        body = await json_body(request)
        return await run_in_threadpool(self._create, request, body)

    def _create(self, request: Request, body: Mapping[str, Any]) -> Response:
        token = self._guard.who(request)
        self._guard.writing(request)
        org = text_of(body, "organization") or token.name or "anyone"
        name = f"{org}/{text_of(body, 'name')}"
        if text_of(body, "type") not in ("model", ""):
            raise Refusal(400, "This hub keeps models only")
        public, private = text_of(body, "visibility") == "public", flag_of(body, "private")
        private = not public if private is None else private
        url = f"{base_url(request)}/{name}"
        try:
            self._repositories.create(name, private=private)
        except AlreadyThere as error:
            return JSONResponse({"error": error.message, "url": url}, 409)
        return JSONResponse({"url": url, "name": name, "id": name})

    async def delete(self, request: Request) -> Response:
        body = await json_body(request)
        name = f"{body.get('organization', '')}/{body.get('name', '')}"
        return await run_in_threadpool(self._delete, request, name)

    def _delete(self, request: Request, name: str) -> Response:
        self._guard.writing(request, name)
        self._repositories.delete(name)
        return JSONResponse({})

    async def settings(self, request: Request) -> Response:
        body = await json_body(request)
        name = repository_name(request)
        private = body.get("private", body.get("visibility") == "private")

        def change() -> Response:
            self._guard.writing(request, name)
            self._repositories.set_private(name, bool(private))
            return JSONResponse({})

        return await run_in_threadpool(change)

    async def tag(self, request: Request) -> Response:
        tag = str((await json_body(request)).get("tag", ""))

        def make() -> Response:
            name = repository_name(request)
            self._guard.writing(request, name)
            find_tree(self._repositories, name, revision_of(request))
            self._repositories.tag(name, tag, revision_of(request))
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
        start = str((await json_body(request)).get("startingPoint") or MAIN)

        def make() -> Response:
            name = repository_name(request)
            self._guard.writing(request, name)
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
        body = await json_body(request)

        def look() -> Response:
            name = repository_name(request)
            self._guard.writing(request, name)
            _, files = find_tree(self._repositories, name, revision_of(request))
            rows = []
            for file in body.get("files", []):
                path, size = str(file.get("path")), int(file.get("size", 0))
                mode = "lfs" if is_large(path, size) else "regular"
                there = files.get(path)
                oid = there.etag if there else None
                rows.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
            return JSONResponse({"files": rows})

        return await run_in_threadpool(look)

    async def batch(self, request: Request) -> Response:
        body = await json_body(request)

        def plan() -> Response:
            name, base = repository_name(request), base_url(request)
            self._guard.writing(request, name)
            objects = self._uploads.offer(base, name, body.get("objects", []))
            return JSONResponse(
                {"transfer": "basic", "objects": objects, "hash_algo": "sha256"},
                media_type="application/vnd.git-lfs+json",
            )

        return await run_in_threadpool(plan)

    async def commit(self, request: Request) -> Response:
        _refuse_pull_request(request)
        # Before its body is held in memory.
        await run_in_threadpool(self._guard.writing, request, repository_name(request))
        body = await body_of(request, MOST_COMMIT)
        return await run_in_threadpool(self._commit, request, body)

    def _commit(self, request: Request, body: bytes) -> Response:
        name = repository_name(request)
        self._guard.writing(request, name)
        header: Mapping[str, Any] = {}
        operations = []
        for line in body.splitlines():
            if line.strip():
                key, value = _operation(line)
                if key == "header":
                    header = value
                else:
                    operations.append((key, value))
        small = [value for key, value in operations if key == "file"]
        blobs = self._repositories.keep(name, [content_of(value) for value in small])
        kept = {id(value): blob for value, blob in zip(small, blobs, strict=True)}

        def change(files: dict[str, Blob]) -> None:
            for key, value in operations:
                path = check_path(str(value.get("path", "")).rstrip("/"))
                if key == "file":
                    files[path] = kept[id(value)]
                elif key == "lfsFile":
                    files[path] = Blob(int(value["size"]), check_sha256(str(value["oid"])))
                elif key == "deletedFile":
                    if files.pop(path, None) is None:
                        raise Refusal(404, f"A file with this name doesn't exist: {path}", NO_ENTRY)
                elif key == "deletedFolder":
                    for known in [p for p in files if p.startswith(f"{path}/")]:
                        del files[known]
                else:
                    raise Refusal(400, f"Unknown operation {key[:40]!r}")

        try:
            oid = self._repositories.commit(
                name,
                revision_of(request),
                change,
                message=str(header.get("summary", ""))[:500],
                parent=str(header.get("parentCommit") or ""),
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


def _refuse_pull_request(request: Request) -> None:
    """What was meant for a review must not become the main branch."""
    if request.query_params.get("create_pr", "").lower() not in ("", "0", "false"):
        raise Refusal(
            400,
            "This hub has no pull requests, and nothing was changed: commit to a branch instead "
            "(create_branch, then revision=BRANCH), or leave create_pr out",
        )


def _operation(line: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        value = json.loads(line)
        return str(value["key"]), dict(value["value"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(400, "A line of the commit is malformed") from error
