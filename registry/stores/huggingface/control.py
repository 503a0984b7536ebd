"""What a Hugging Face hub is asked besides files: repositories and their names.

The requests are those of huggingface_hub 2.4 (`hf_api.py`), whose import takes longer than all of
them. The endpoint and the places of tokens are its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from registry.errors import NotAllowedError, NotFoundError, TransferError
from registry.stores.tokens import check_token, without_token
from registry.transport import Transport
from registry.transport.answers import parse_json
from registry.transport.errors import ConflictError

ENDPOINT = "HF_ENDPOINT"  # the variable, for remedies
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
SIGNING_IN = "set HF_TOKEN, or `hf auth login`"
_OTHER_WAYS = ("HF_OIDC_RESOURCE", "HF_HUB_DISABLE_IMPLICIT_TOKEN")


def endpoint() -> str:
    """The hub's address, without a slash at its end.

    Raises:
        TransferError: HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise TransferError(
            "The Hugging Face Hub is not asked: HF_HUB_OFFLINE is set",
            remedy="Unset it, or pull beforehand.",
        )
    return str(constants.ENDPOINT).strip().rstrip("/")


def headers() -> Mapping[str, str]:
    """The user's credentials; only those of a file or a CI take huggingface_hub to find."""
    token = next(filter(None, (os.environ.get(name, "").strip() for name in _TOKENS)), "")
    if token and not any(os.environ.get(name) for name in _OTHER_WAYS):
        return {"Authorization": f"Bearer {check_token(token, SIGNING_IN)}", "User-Agent": "qreg"}
    from huggingface_hub.utils import build_hf_headers

    found: Mapping[str, str] = build_hf_headers(library_name="qreg")
    check_token(found.get("authorization", "").removeprefix("Bearer "), SIGNING_IN)
    return found


class Control:
    """One repository's existence, visibility, branches and tags.

    Args:
        name: ORG/NAME.
    """

    def __init__(self, name: str) -> None:
        self._name, self._what = name, f"hf://{name}"
        self._endpoint = endpoint()
        self._url = f"{self._endpoint}/api/models/{name}"
        self._transport = Transport(headers(), endpoint=ENDPOINT, origin=self._endpoint)

    def require(self, *, public: bool) -> bool:
        """Make the repository if there is none.

        Returns:
            Whether it is as public as was asked for; one that exists is not opened.

        Raises:
            NotAllowedError: it may not be made, or it is public and that was not asked for.
        """
        org, _, name = self._name.partition("/")
        body = {"name": name, "organization": org, "visibility": "public" if public else "private"}
        refused: NotAllowedError | None = None
        try:
            self._ask("POST", f"{self._endpoint}/api/repos/create", json=body)
        except ConflictError:
            pass  # it exists
        except NotAllowedError as error:
            refused = error  # whoever may not make repositories may still write to this one
        try:
            found = self._ask("GET", self._url)
        except NotFoundError as error:
            raise refused or error from error
        if not public and found.get("private") is False:
            raise NotAllowedError(
                f"{self._what} is public, and it was not asked to publish to the public",
                remedy="Say --public, or make the repository private on the hub first.",
            )
        return not (public and found.get("private") is True)

    def refs(self) -> tuple[dict[str, str], dict[str, str]]:
        """Commits of the branches and of the tags, by name."""
        found = self._ask("GET", f"{self._url}/refs")
        try:
            branches, tags = (
                {str(row["name"]): str(row["targetCommit"]) for row in found[kind]}
                for kind in ("branches", "tags")
            )
        except (KeyError, TypeError) as error:
            raise _malformed(self._what) from error
        return branches, tags

    def tag(self, tag: str, commit: str) -> None:
        """Set a tag; one that is elsewhere is moved."""
        _, tags = self.refs()
        if tags.get(tag) == commit:
            return
        if tag in tags:
            self._ask("DELETE", f"{self._url}/tag/{quote(tag, safe='')}")
        with suppress(ConflictError):  # a first try arrived though its answer did not
            self._ask("POST", f"{self._url}/tag/{quote(commit, safe='')}", json={"tag": tag})

    def _ask(self, method: str, url: str, **arguments: Any) -> dict[str, Any]:
        with without_token(self._transport.headers, SIGNING_IN):
            response = self._transport.request(method, self._what, url, **arguments)
        try:
            answer = parse_json(response.content) if response.content else {}
        except ValueError as error:
            raise _malformed(self._what) from error
        return answer if isinstance(answer, dict) else {}


def _malformed(what: str) -> TransferError:
    return TransferError(
        f"The hub's answer about {what} is malformed",
        remedy="Check HF_ENDPOINT; the server may not be a Hugging Face hub.",
    )
