"""The routes of ModelScope that its own client uses (modelscope-hub 0.5.1, `_legacy_api.py`)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, TypeVar
from zlib import crc32

from msgspec import UNSET
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.hub import parsing, requests
from registry.hub.access import ANYONE
from registry.hub.bodies import MOST, MOST_ACTIONS, SMALL, read
from registry.hub.commits import MAIN, Blob
from registry.hub.committing import Gathering
from registry.hub.conflicts import AlreadyThere
from registry.hub.content import check_sha256, deliver
from registry.hub.errors import Refusal
from registry.hub.front import base_url, repository_name
from registry.hub.guard import Guard
from registry.hub.repository import Repository
from registry.hub.trees import Tree
from registry.hub.uploads import Uploads

T = TypeVar("T")
_PRIVATE, _PUBLIC = 1, 5
_EXISTS = 10010101001  # ModelScope's code; its client tells it from other refusals by that
MASTER = "master"


class ModelScopeRoutes:
    """Handlers; each takes a request and answers it in ModelScope's envelope.

    Args:
        guard: lets requests through.
        uploads: takes large files.
    """

    def __init__(self, guard: Guard, uploads: Uploads) -> None:
        self._guard, self._uploads = guard, uploads
        self._repositories = guard.repositories

    def routes(self) -> list[Route]:
        """All routes."""
        model, repos = "/api/v1/models/{org}/{name}", "/api/v1/repos/models/{org}/{name}"
        return [
            Route("/api/v1/login", self.login, methods=["POST"]),
            Route("/openapi/v1/users/me", self.whoami),
            Route("/api/v1/models", self.create, methods=["POST"]),
            Route(model, self.info, methods=["GET"]),
            Route(model, self.delete, methods=["DELETE"]),
            Route("/openapi/v1/models/{org}/{name}", self.open_info),
            Route(f"{model}/revisions", self.revisions),
            Route(f"{model}/repo/files", self.files),
            Route(f"{model}/repo/tag", self.tag, methods=["POST"]),
            Route(f"{model}/repo", self.read),
            Route(f"{repos}/info/lfs/objects/batch", self.batch, methods=["POST"]),
            Route(f"{repos}/commit/{{revision}}", self.commit, methods=["POST"]),
        ]

    async def login(self, request: Request) -> Response:
        asked = await read(request, requests.Login)
        token = self._guard.access.who(asked.access_token)
        if token is None or token is ANYONE:
            raise Refusal(401, "The token is not valid here")
        found = {"AccessToken": "", "Username": token.name, "Email": "", "IsVip": False}
        return _ok(found)

    def whoami(self, request: Request) -> Response:
        token = self._guard.who(request)
        if token is ANYONE:
            raise Refusal(401, "No token was given")
        return JSONResponse(
            {"success": True, "data": {"username": token.name, "email": "", "id": token.name}}
        )

    async def create(self, request: Request) -> Response:
        await run_in_threadpool(self._guard.creating, request)
        asked = await read(request, requests.CreateModel)

        def make() -> Response:
            name, private = f"{asked.path}/{asked.name}", asked.visibility != _PUBLIC
            self._guard.creating(request, name)
            try:
                self._repositories.create(name, private=private)
            except AlreadyThere as error:
                return _refused(400, error.message, _EXISTS)
            return _ok(self._info(self._repositories.get(name)))

        return await run_in_threadpool(make)

    def info(self, request: Request) -> Response:
        return _ok(self._info(self._guard.reading(request, repository_name(request))))

    def open_info(self, request: Request) -> Response:
        found = self._info(self._guard.reading(request, repository_name(request)))
        return JSONResponse({"success": True, "data": {**found, "id": found["Name"]}})

    def delete(self, request: Request) -> Response:
        self._guard.writing(request, repository_name(request))
        self._repositories.delete(repository_name(request))
        return _ok({})

    def revisions(self, request: Request) -> Response:
        found = self._guard.reading(request, repository_name(request))
        branches = {MASTER if b == MAIN else b: oid for b, oid in found.branches.items()}
        return _ok(
            {
                "RevisionMap": {
                    "Branches": _refs(branches, found.created),
                    "Tags": _refs(found.tags, found.created),
                }
            }
        )

    def files(self, request: Request) -> Response:
        found = self._guard.reading(request, repository_name(request))
        tree = self._find(found, request.query_params.get("Revision", MASTER))
        root = request.query_params.get("Root", "").strip("/")
        recursive = request.query_params.get("Recursive", "").lower() in ("true", "1")
        rows = [
            _file_row(path, blob, tree.oid) if blob else _folder_row(path, tree.oid)
            for path, blob in tree.below(root, recursive=recursive)
        ]
        return _ok({"Files": rows, "IsVisual": 1})

    def read(self, request: Request) -> Response:
        name = repository_name(request)
        query = request.query_params
        found = self._guard.reading(request, name)
        tree = self._find(found, query.get("Revision", MASTER))
        blob = tree.files.get(query.get("FilePath", ""))
        if blob is None:
            raise Refusal(404, f"{query.get('FilePath', '')[:200]} is not in {name}")
        headers = {"X-Linked-ETag": blob.sha256, "X-Repo-Commit": tree.oid}
        return deliver(request, self._repositories.contents, name, blob, headers)

    async def tag(self, request: Request) -> Response:
        asked = await self._asked(request, requests.TagModel)

        def make() -> Response:
            name = repository_name(request)
            self._repositories.tag(name, asked.tag_name, asked.ref or MASTER)
            return _ok({"TagName": asked.tag_name})

        return await run_in_threadpool(make)

    async def batch(self, request: Request) -> Response:
        asked = await self._asked(request, requests.Batch, MOST)

        def plan() -> Response:
            name, base = repository_name(request), base_url(request)
            token = self._guard.who(request)
            offers = self._uploads.offer(base, name, asked.objects, token, parts=False)
            for offer in offers:
                if "error" in offer:
                    raise Refusal(507, offer["error"]["message"])
            # What is there already is left out.
            return _ok({"objects": [offer for offer in offers if "actions" in offer]})

        return await run_in_threadpool(plan)

    async def commit(self, request: Request) -> Response:
        asked = await self._asked(request, requests.Actions, MOST_ACTIONS)

        def make() -> Response:
            name = repository_name(request)
            token = self._guard.writing(request, name)  # once more: it may have taken an hour
            gathering = Gathering(self._repositories, name)
            for action in asked.actions:
                _gather(gathering, action)
            asked.actions.clear()  # and the request's body with them
            gathering.keep()
            oid = self._repositories.commit(
                name,
                request.path_params["revision"],
                gathering.apply,
                message=asked.commit_message[:500],
                everything=self._guard.reads_all(token),
            )
            return _ok({"commit_id": oid, "oid": oid})

        return await run_in_threadpool(make)

    async def _asked(self, request: Request, kind: type[T], limit: int = SMALL) -> T:
        """What a request to a repository says, after it is known that its bearer may write."""
        await run_in_threadpool(self._guard.writing, request, repository_name(request))
        return await read(request, kind, limit)

    def _info(self, found: Repository) -> dict[str, Any]:
        org, _, name = found.name.partition("/")
        return {
            "Path": org,
            "Name": name,
            "Id": crc32(found.name.encode()),
            "Visibility": _PRIVATE if found.private else _PUBLIC,
            "Revision": MASTER,
            "License": "",
            "CreatedTime": 0,
        }

    def _find(self, known: Repository, revision: str) -> Tree:
        try:
            return self._repositories.tree(known.name, revision, known)
        except NotFoundError as error:
            raise Refusal(404, f"{known.name} has no revision {revision[:200]}") from error


def _gather(gathering: Gathering, action: requests.Action) -> None:
    """Take one operation of a commit."""
    if action.action == "delete":
        gathering.do(action.path, _delete)
    elif action.type == "lfs":
        gathering.place(action.path, Blob(action.size, check_sha256(action.sha256)))
    else:
        shown = f"The content of {action.path[:200]}"
        if action.content is UNSET:
            raise Refusal(400, f"{shown} is missing")
        text = parsing.parse_text(action.content, shown)
        content = parsing.content_of(action.path, text, action.encoding)
        announced = (action.size or len(content), action.sha256 or "")
        if announced[0] != len(content) or announced[1] not in ("", _sha256(content)):
            raise Refusal(400, f"{shown} is not what its size and sha256 say")
        gathering.put(action.path, content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _delete(files: dict[str, Blob], path: str) -> None:
    files.pop(path, None)


def _ok(data: Any) -> JSONResponse:
    return JSONResponse(
        {"Code": 200, "Success": True, "Message": "success", "RequestId": "", "Data": data}
    )


def _refused(status: int, message: str, code: int = 0) -> JSONResponse:
    return JSONResponse(
        {
            "Code": code or status,
            "Success": False,
            "Message": message,
            "RequestId": "",
            "Data": None,
        },
        status,
    )


def _file_row(path: str, blob: Blob, oid: str) -> dict[str, Any]:
    return {
        "Path": path,
        "Name": path.rpartition("/")[2],
        "Type": "blob",
        "Size": blob.size,
        "Sha256": blob.sha256,
        "IsLFS": blob.large,
        "Revision": oid,
        "CommittedDate": int(time.time()),
        "Mode": "33188",
    }


def _folder_row(path: str, oid: str) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    return {"Path": path, "Name": name, "Type": "tree", "Size": 0, "Sha256": "", "Revision": oid}


def _refs(found: Mapping[str, str], created: str) -> list[dict[str, Any]]:
    return [
        {"Revision": name, "CommitId": oid, "CreatedAt": 0, "Created": created}
        for name, oid in sorted(found.items())
    ]
