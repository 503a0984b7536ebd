"""Errors of huggingface_hub in terms of ours, and patience with those that pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from registry.errors import NotAllowedError, NotFoundError, TransferError, TransientError
from registry.transport import Patience, patiently
from registry.transport.errors import PASSING

T = TypeVar("T")


def asking(what: str, request: Callable[[], T]) -> T:
    """The result of a request that does no harm when it arrives twice, tried again if it fails."""

    def one() -> T:
        with hub_errors(what):
            return request()

    return patiently(Patience.from_environment(), one)


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
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
        kind = (
            NotAllowedError
            if status in (401, 403)
            else TransientError
            if status in PASSING
            else TransferError
        )
        raise kind(
            f"Reading {what} failed with HTTP status {status}",
            remedy="Check HF_TOKEN." if kind is NotAllowedError else "Try again later.",
        ) from error
    except HTTPError as error:
        raise TransientError(
            f"Reading {what} failed: {type(error).__name__}: {error}",
            remedy="Check the network, and HF_ENDPOINT if the hub is your own.",
        ) from error
