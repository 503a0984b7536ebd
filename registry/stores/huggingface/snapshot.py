"""Reading repositories of the Hugging Face Hub, or of any server that speaks its API.

The endpoint is HF_ENDPOINT; the token is where `hf auth login` puts it, or HF_TOKEN. Files are read
by ranges, so that only metadata moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

from registry.errors import TransferError
from registry.folder import Entry
from registry.names import is_tag
from registry.stores.hub_snapshot import HubSnapshot, part_of_artifact
from registry.stores.huggingface.control import ENDPOINT, SIGNING_IN, endpoint, headers
from registry.stores.tokens import without_token
from registry.transport import Stream, Transport
from registry.transport.answers import parse_json, require_few


class HuggingFaceSnapshot(HubSnapshot):
    """One revision of a repository, pinned to the commit that it names when it is opened.

    Args:
        name: ORG/NAME.
        revision: branch, tag or commit; the main branch if None.

    Raises:
        NotFoundError: no such repository or revision.
        NotAllowedError: the repository is private or gated, and the token does not open it.
        TransferError: the hub cannot be reached.
    """

    def __init__(self, name: str, revision: str | None = None) -> None:
        self.name = name
        hub = endpoint()
        self._transport = Transport(headers(), endpoint=ENDPOINT, origin=hub)
        self.patience = self._transport.patience
        what = f"hf://{name}" + (f"@{revision}" if revision else "")
        url = f"{hub}/api/models/{name}"
        if revision:
            url += f"/revision/{quote(revision, safe='')}"
        with without_token(self._transport.headers, SIGNING_IN):
            response = self._transport.request("GET", what, f"{url}?blobs=true")
        self.commit, self._entries = _listing(response.content, what)
        self._url = f"{hub}/{name}/resolve/{quote(self.commit, safe='')}"

    @property
    def reference(self) -> str:
        return f"hf://{self.name}@{self.commit}"

    def entries(self) -> Sequence[Entry]:
        return self._entries

    def stream(self, path: str, offset: int, length: int) -> AbstractContextManager[Stream]:
        what = f"{path} of hf://{self.name}"
        return self._transport.stream(what, f"{self._url}/{quote(path)}", offset, length)


def _listing(content: bytes, what: str) -> tuple[str, tuple[Entry, ...]]:
    """The commit and the files of `GET /api/models/…?blobs=true`."""
    try:
        document = parse_json(content)
        require_few(what, len(document["siblings"]))
        files = part_of_artifact(_entry(row) for row in document["siblings"])
        commit = str(document["sha"])
        if commit and not is_tag(commit):
            raise ValueError(f"commit {commit[:80]!r}")
        return commit, files
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransferError(
            f"The hub's listing of {what} is malformed: {type(error).__name__} {error}",
            remedy="Check HF_ENDPOINT; the server may not be a Hugging Face hub.",
        ) from error


def _entry(row: Mapping[str, Any]) -> Entry:
    lfs = row.get("lfs") or {}
    sha256 = lfs.get("sha256") or lfs.get("oid")
    return Entry.listed(str(row["rfilename"]), row.get("size"), sha256, row.get("blobId"))
