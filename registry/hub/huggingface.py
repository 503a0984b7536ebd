"""The Hugging Face Hub's routes for reading, as huggingface_hub 2.4 and transformers 5 use them."""

from __future__ import annotations

from itertools import islice
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import NotFoundError
from registry.hub import bodies
from registry.hub import huggingface_rows as rows
from registry.hub.access import ANYONE
from registry.hub.commits import MAIN
from registry.hub.content import deliver
from registry.hub.errors import Refusal
from registry.hub.front import base_url, repository_name
from registry.hub.guard import Guard
from registry.hub.parsing import parse_paths, whole_of
from registry.hub.repositories import Repositories
from registry.hub.repository import Repository
from registry.hub.trees import Tree

NO_REVISION, NO_ENTRY = "RevisionNotFound", "EntryNotFound"
_MOST_ROWS = 1000  # of one page of a listing
_MOST_COMMITS = 100  # of one page of a history; each was read whole once


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
                    "accessToken": {"displayName": token.name, "role": token.role},
                },
            }
        )

    async def validate(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    def models(self, request: Request) -> Response:
        query = request.query_params
        words, author = query.get("search", "").lower(), query.get("author", "")
        limit = whole_of("limit", query.get("limit"))
        found = [
            rows.summary(repository)
            for repository in self._guard.visible(request)
            if words in repository.name.lower()
            and (not author or repository.name.partition("/")[0] == author)
        ]
        return JSONResponse(found[:limit])

    def info(self, request: Request) -> Response:
        repository = self._guard.reading(request, repository_name(request))
        tree = self._find(request, repository)
        siblings = [rows.sibling(path, blob) for path, blob in sorted(tree.files.items())]
        return JSONResponse({**rows.summary(repository), "sha": tree.oid, "siblings": siblings})

    def tree(self, request: Request) -> Response:
        begin = whole_of("cursor", request.query_params.get("cursor")) or 0
        tree = self._find(request, self._guard.reading(request, repository_name(request)))
        folder = request.path_params.get("folder", "").strip("/")
        recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
        listed = tree.below(folder, recursive=recursive)
        if folder and not listed:
            raise Refusal(404, f"There is no folder {folder}", NO_ENTRY)
        end = begin + _MOST_ROWS
        headers = _next(request, end) if end < len(listed) else {}
        found = [rows.listed(path, blob) for path, blob in listed[begin:end]]
        return JSONResponse(found, headers=headers)

    async def paths(self, request: Request) -> Response:
        known = await run_in_threadpool(self._guard.reading, request, repository_name(request))
        form = bodies.is_form(request)
        if not form:
            bodies.check_type(request)
        stranger = await run_in_threadpool(self._guard.who, request) is ANYONE
        wanted = await bodies.read_as(
            request,
            lambda body: parse_paths(body, form=form).paths,
            bodies.MOST_PATHS,
            bodies.STRANGERS if stranger else bodies.BEARERS,
        )
        return await run_in_threadpool(self._paths, request, known, wanted)

    def _paths(self, request: Request, known: Repository, wanted: list[str]) -> Response:
        tree = self._find(request, known)
        found = []
        for path in dict.fromkeys(wanted):
            folder = path.rstrip("/")
            if blob := tree.files.get(path):
                found.append(rows.row(path, blob))
            elif folder and tree.has_folder(folder):
                found.append({"type": "directory", "path": folder, "oid": "0" * 40})
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
        begin = request.query_params.get("cursor") or revision_of(request)
        try:
            history = self._repositories.history(repository_name(request), begin)
            found = list(islice(history, _MOST_COMMITS + 1))
        except NotFoundError as error:
            raise Refusal(404, error.message, NO_REVISION) from error
        headers = _next(request, found[-1][0]) if len(found) > _MOST_COMMITS else {}
        return JSONResponse(
            [
                {"id": oid, "title": c.message, "message": "", "date": c.date, "authors": []}
                for oid, c in found[:_MOST_COMMITS]
            ],
            headers=headers,
        )

    def resolve(self, request: Request) -> Response:
        name, path = repository_name(request), request.path_params["path"]
        tree = self._find(request, self._guard.reading(request, name))
        blob = tree.files.get(path)
        if blob is None:
            raise Refusal(404, f"{path} is not in {name}", NO_ENTRY)
        file_name = quote(path.rpartition("/")[2])
        headers = {
            "X-Repo-Commit": tree.oid,
            "Content-Disposition": f"inline; filename*=UTF-8''{file_name}",
        }
        if blob.large:
            headers["X-Linked-Etag"] = f'"{blob.sha256}"'
            headers["X-Linked-Size"] = str(blob.size)
        return deliver(request, self._repositories.contents, name, blob, headers)

    def _find(self, request: Request, known: Repository) -> Tree:
        return find_tree(self._repositories, known.name, revision_of(request), known)


def find_tree(
    repositories: Repositories, name: str, revision: str, known: Repository | None = None
) -> Tree:
    """A commit's files; a Refusal as the Hub tells it."""
    try:
        return repositories.tree(name, revision, known)
    except NotFoundError as error:
        raise Refusal(404, f"Invalid rev id: {revision[:200]}", NO_REVISION) from error


def _next(request: Request, cursor: object) -> dict[str, str]:
    """The header that tells where the next page of a listing is."""
    query = urlencode({**request.query_params, "cursor": cursor})
    address = f"{base_url(request)}{quote(request.scope['path'])}?{query}"
    return {"Link": f'<{address}>; rel="next"'}


def revision_of(request: Request) -> str:
    """The branch, tag or commit of a route's path."""
    return str(request.path_params.get("revision") or MAIN)
