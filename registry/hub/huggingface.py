"""The Hugging Face Hub's routes for reading, as huggingface_hub 2.4 and transformers 5 use them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.hub import huggingface_rows as rows
from registry.hub.access import ANYONE
from registry.hub.asked import body_of, json_body, repository_name
from registry.hub.commits import MAIN, Blob
from registry.hub.content import deliver
from registry.hub.errors import Refusal
from registry.hub.guard import Guard
from registry.hub.repositories import Repositories
from registry.hub.repository import Repository

NO_REVISION, NO_ENTRY = "RevisionNotFound", "EntryNotFound"
_MOST_ROWS = 1000  # of one page of a listing


class HuggingFaceReading:
    """Handlers; each takes a request and answers it.

    Args:
        guard: lets requests through.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._repositories = guard.repositories

    def routes(self) -> list[Route]:
        """All routes."""
        model = "/api/models/{org}/{name}"
        return [
            Route("/api/validate-yaml", self.validate, methods=["POST"]),
            Route("/api/whoami-v2", self.whoami),
            Route("/api/models", self.models),
            Route(model, self.info),
            Route(f"{model}/revision/{{revision:path}}", self.info),
            Route(f"{model}/tree/{{revision}}", self.tree),
            Route(f"{model}/tree/{{revision}}/{{folder:path}}", self.tree),
            Route(f"{model}/paths-info/{{revision}}", self.paths, methods=["POST"]),
            Route(f"{model}/refs", self.refs),
            Route(f"{model}/commits/{{revision}}", self.commits),
            Route("/{org}/{name}/resolve/{revision}/{path:path}", self.resolve),
        ]

    def whoami(self, request: Request) -> Response:
        token = self._guard.who(request)
        if token is ANYONE:
            raise Refusal(401, "No token was given")
        return JSONResponse(
            {
                "type": "user",
                "name": token.name,
                "orgs": [],
                "auth": {
                    "type": "access_token",
                    "accessToken": {"displayName": token.name, "role": token.scope},
                },
            }
        )

    async def validate(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    def models(self, request: Request) -> Response:
        query = request.query_params
        words, author = query.get("search", "").lower(), query.get("author", "")
        limit = query.get("limit", "")
        found = [
            rows.summary(repository)
            for repository in self._guard.visible(request)
            if words in repository.name.lower()
            and (not author or repository.name.partition("/")[0] == author)
        ]
        return JSONResponse(found[: int(limit)] if limit.isdigit() else found)

    def info(self, request: Request) -> Response:
        repository = self._guard.reading(request, repository_name(request))
        oid, files = self._find(request, repository)
        siblings = [rows.sibling(path, blob) for path, blob in sorted(files.items())]
        return JSONResponse({**rows.summary(repository), "sha": oid, "siblings": siblings})

    def tree(self, request: Request) -> Response:
        repository = self._guard.reading(request, repository_name(request))
        _, files = self._find(request, repository)
        folder = request.path_params.get("folder", "").strip("/")
        recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
        listed = rows.rows(files, folder, recursive=recursive)
        if folder and not listed:
            raise Refusal(404, f"There is no folder {folder}", NO_ENTRY)
        cursor = request.query_params.get("cursor", "0")
        begin = int(cursor) if cursor.isdigit() else 0
        headers = {}
        if begin + _MOST_ROWS < len(listed):
            url = request.url.include_query_params(cursor=begin + _MOST_ROWS)
            headers["Link"] = f'<{url}>; rel="next"'
        return JSONResponse(listed[begin : begin + _MOST_ROWS], headers=headers)

    async def paths(self, request: Request) -> Response:
        kind = request.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            wanted = [str(path) for path in (await json_body(request)).get("paths", [])]
        else:
            wanted = parse_qs((await body_of(request)).decode(errors="replace")).get("paths", [])
        return await run_in_threadpool(self._paths, request, wanted)

    def _paths(self, request: Request, wanted: list[str]) -> Response:
        repository = self._guard.reading(request, repository_name(request))
        _, files = self._find(request, repository)
        found = []
        for path in wanted:
            if path in files:
                found.append(rows.row(path, files[path]))
            elif any(known.startswith(f"{path.rstrip('/')}/") for known in files):
                found.append({"type": "directory", "path": path.rstrip("/"), "oid": "0" * 40})
        return JSONResponse(found)

    def refs(self, request: Request) -> Response:
        found = self._guard.reading(request, repository_name(request))
        return JSONResponse(
            {
                "branches": rows.refs("heads", found.branches),
                "tags": rows.refs("tags", found.tags),
                "converts": [],
                "pullRequests": [],
            }
        )

    def commits(self, request: Request) -> Response:
        self._guard.reading(request, repository_name(request))
        try:
            found = list(self._repositories.history(repository_name(request), revision_of(request)))
        except NotFoundError as error:
            raise Refusal(404, error.message, NO_REVISION) from error
        return JSONResponse(
            [
                {"id": oid, "title": c.message, "message": "", "date": c.date, "authors": []}
                for oid, c in found
            ]
        )

    def resolve(self, request: Request) -> Response:
        name, path = repository_name(request), request.path_params["path"]
        oid, files = self._find(request, self._guard.reading(request, name))
        blob = files.get(path)
        if blob is None:
            raise Refusal(404, f"{path} is not in {name}", NO_ENTRY)
        file_name = quote(path.rpartition("/")[2])
        headers = {
            "X-Repo-Commit": oid,
            "Content-Disposition": f"inline; filename*=UTF-8''{file_name}",
        }
        if blob.large:
            headers["X-Linked-Etag"] = f'"{blob.sha256}"'
            headers["X-Linked-Size"] = str(blob.size)
        return deliver(request, self._repositories.contents, name, blob, headers)

    def _find(self, request: Request, known: Repository) -> tuple[str, Mapping[str, Blob]]:
        return find_tree(self._repositories, known.name, revision_of(request), known)


def find_tree(
    repositories: Repositories, name: str, revision: str, known: Repository | None = None
) -> tuple[str, Mapping[str, Blob]]:
    """A commit and its files; a Refusal as the Hub tells it."""
    try:
        oid, commit = repositories.find(name, revision, known)
    except NotFoundError as error:
        raise Refusal(404, f"Invalid rev id: {revision[:200]}", NO_REVISION) from error
    return oid, commit.files


def revision_of(request: Request) -> str:
    """The branch, tag or commit of a route's path."""
    return str(request.path_params.get("revision") or MAIN)
