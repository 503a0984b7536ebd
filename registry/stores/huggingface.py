"""Reading repositories of the Hugging Face Hub, or of any server that speaks its API.

The endpoint is HF_ENDPOINT; the token is where `hf auth login` puts it, or HF_TOKEN. Listing and
requests are huggingface_hub's own; files are read by ranges, so that only metadata moves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from registry.errors import NotAllowedError, NotFoundError, QregError, TransferError
from registry.folder import Entry
from registry.names import check_path

_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 4


class HuggingFaceSource:
    """One revision of a repository, pinned to the commit that it names when it is opened.

    Args:
        name: ORG/NAME.
        revision: branch, tag or commit; the main branch if None.

    Raises:
        NotFoundError: no such repository or revision.
        NotAllowedError: the repository is private or gated, and the token does not open it.
        TransferError: the hub cannot be reached.
    """

    folder: Path | None = None

    def __init__(self, name: str, revision: str | None = None) -> None:
        from huggingface_hub import constants
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

        self.name = name
        self._headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        what = f"hf://{name}" + (f"@{revision}" if revision else "")
        url = f"{constants.ENDPOINT}/api/models/{name}"
        if revision:
            url += f"/revision/{quote(revision, safe='')}"
        with _hub_errors(what):
            # As HfApi.model_info asks for it; that module takes longer to import than to answer.
            response = http_backoff(
                "GET",
                f"{url}?blobs=true",
                headers=self._headers,
                timeout=_TIMEOUT,
                max_retries=_ATTEMPTS,
            )
            hf_raise_for_status(response)
            self.commit, self._entries = _listing(response.content, what)
        self._url = f"{constants.ENDPOINT}/{name}/resolve/{quote(self.commit, safe='')}"

    @property
    def label(self) -> str:
        return f"hf://{self.name}@{self.commit}"

    def entries(self) -> Sequence[Entry]:
        return self._entries

    def read(self, path: str, offset: int, length: int) -> bytes:
        from huggingface_hub.utils import hf_raise_for_status, http_stream_backoff

        if length <= 0:
            return b""
        headers = {**self._headers, "Range": f"bytes={offset}-{offset + length - 1}"}
        what = f"{path} of hf://{self.name}"
        with (
            _hub_errors(what),
            http_stream_backoff(
                "GET",
                f"{self._url}/{quote(path)}",
                headers=headers,
                timeout=_TIMEOUT,
                max_retries=_ATTEMPTS,
            ) as response,
        ):
            hf_raise_for_status(response)
            begin = offset if response.status_code == 206 else 0
            given = response.headers.get("Content-Range", f"bytes {begin}-")
            if begin != offset or not given.startswith(f"bytes {offset}-"):
                raise TransferError(
                    f"The hub answered bytes {offset} of {what} with {given!r}",
                    remedy="A proxy may change requests; try without it, or pull the artifact.",
                )
            return _at_most(response.iter_bytes(), length)


def _at_most(chunks: Iterator[bytes], length: int) -> bytes:
    """The first bytes of a stream, however much more a server sends."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) >= length:
            break
    return bytes(content[:length])


def _listing(content: bytes, what: str) -> tuple[str, tuple[Entry, ...]]:
    """The commit and the files of `GET /api/models/…?blobs=true`."""
    try:
        document = json.loads(content)
        files = tuple(_entry(row) for row in document["siblings"])
        return str(document["sha"]), files
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransferError(
            f"The hub's listing of {what} is malformed: {type(error).__name__} {error}",
            remedy="Check HF_ENDPOINT; the server may not be a Hugging Face hub.",
        ) from error


def _entry(row: Mapping[str, Any]) -> Entry:
    path, size, lfs = str(row["rfilename"]), row.get("size"), row.get("lfs") or {}
    try:
        check_path(path)
    except QregError as error:
        return Entry(path, 0, problem=error.message)
    if type(size) is not int or size < 0:
        return Entry(path, 0, problem=f"The hub does not tell the size of {path}")
    return Entry(path, size, sha256=lfs.get("sha256") or lfs.get("oid"))


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """Turn huggingface_hub's errors into ours."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise NotAllowedError(
            f"{what} is gated", remedy="Ask for access on its page, then `hf auth login`."
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
        raise NotFoundError(
            f"The Hugging Face Hub has no {what}",
            remedy="Check the name and the revision; a private repository needs HF_TOKEN.",
        ) from error
    except HFValidationError as error:
        raise NotFoundError(f"{what} is no name of a repository: {error}") from error
    except OfflineModeIsEnabled as error:
        raise TransferError(
            f"{what} was not read: HF_HUB_OFFLINE is set", remedy="Unset it, or pull beforehand."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        kind = NotAllowedError if status in (401, 403) else TransferError
        raise kind(
            f"Reading {what} failed with HTTP status {status}",
            remedy="Check HF_TOKEN." if kind is NotAllowedError else "Try again later.",
        ) from error
    except HTTPError as error:
        raise TransferError(
            f"Reading {what} failed: {type(error).__name__}: {error}",
            remedy="Check the network, and HF_ENDPOINT if the hub is your own.",
        ) from error
