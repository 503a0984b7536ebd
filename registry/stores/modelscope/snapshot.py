"""One revision of a model on ModelScope, for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from urllib.parse import urlencode

from registry.folder import Entry
from registry.stores.hub_snapshot import HubSnapshot, part_of_artifact
from registry.stores.modelscope.client import (
    MODEL,
    SIGNING_IN,
    asking,
    connect,
    hub_errors,
    transport_of,
)
from registry.stores.tokens import without_token
from registry.transport import Stream
from registry.transport.answers import parse_json, require_few

BRANCH = "master"
_MOST_ROWS = 3000  # of one answer; `REPO_FILES_TRUNCATION_LIMIT` of its own library


class ModelScopeSnapshot(HubSnapshot):
    """One revision of a model on ModelScope.

    Args:
        name: ORG/NAME.
        revision: branch or tag; the main branch if None.

    Raises:
        NotFoundError, NotAllowedError, TransferError: it cannot be listed.
    """

    def __init__(self, name: str, revision: str | None = None) -> None:
        self.name, self.revision = name, revision or BRANCH
        self._api = connect()
        self._transport = transport_of(self._api)
        self.patience = self._transport.patience
        self._entries = self._list()

    @property
    def reference(self) -> str:
        return f"ms://{self.name}@{self.revision}"

    def entries(self) -> Sequence[Entry]:
        return self._entries

    def stream(self, path: str, offset: int, length: int) -> AbstractContextManager[Stream]:
        query = urlencode({"Revision": self.revision, "FilePath": path})
        url = f"{self._api.legacy.endpoint}/api/v1/models/{self.name}/repo?{query}"
        return self._transport.stream(f"{path} of ms://{self.name}", url, offset, length)

    def _list(self) -> tuple[Entry, ...]:
        what = f"ms://{self.name}@{self.revision}"
        query = urlencode({"Revision": self.revision, "Recursive": "True"})
        url = f"{self._api.legacy.endpoint}/api/v1/models/{self.name}/repo/files?{query}"

        walk = partial(self._api.legacy.list_repo_files, self.name, MODEL, self.revision)
        with without_token(self._transport.headers, SIGNING_IN):
            answer = self._transport.request("GET", what, url)
            with hub_errors(what):
                rows = parse_json(answer.content)["Data"]["Files"] or []
            if len(rows) >= _MOST_ROWS:  # cut off by the hub; its library walks the folders
                rows = asking(what, walk)
            require_few(what, len(rows))
            with hub_errors(what):
                files = [row for row in rows if str(row.get("Type", "blob")) != "tree"]
                return part_of_artifact(_entry(row) for row in files)


def _entry(row: Mapping[str, Any]) -> Entry:
    path = str(row.get("Path") or row.get("Name") or "")
    return Entry.listed(path, row.get("Size"), row.get("Sha256"))
