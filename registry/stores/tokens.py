"""Tokens that no server could take, and what hubs keep from those who show none, told as that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from registry.errors import NotAllowedError, NotFoundError


def check_token(token: str, ways: str) -> str:
    """Return a token; raises NotAllowedError for what cannot be sent, as quotes of a text are.

    Args:
        token: or a key.
        ways: to give another one.
    """
    if all(" " < sign <= "~" for sign in token):
        return token
    raise NotAllowedError(
        "The token or key holds a blank, a line break or a sign that none has",
        remedy=f"Copy it anew, without quotes: {ways} .",
    )


@contextmanager
def without_token(headers: Mapping[str, str], ways: str) -> Iterator[None]:
    """Name the lack of a token where something is not found or not allowed and none was sent.

    A private repository does not exist for who may not read it; on huggingface.co also what does
    not exist is refused, as it could be private.

    Args:
        headers: of the requests.
        ways: to give a token.
    """
    try:
        yield
    except (NotFoundError, NotAllowedError) as error:
        if "Authorization" not in headers:
            error.remedy = (
                "Check the name and the revision; a private one needs a token, and none was sent: "
                f"{ways} ."
            )
        raise
