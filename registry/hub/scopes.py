"""What a token's bearer may do: scopes, for all names or for a namespace.

    read            every repository               read:acme/*     those of acme
    write           changes every repository       write:acme/*    changes those of acme
    admin           all of it                      write:acme/m    changes this one

Writing includes reading. Whoever may write to a name may also make, change and remove that
repository, as on the public hubs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.errors import UsageError
from registry.names import is_name

READ, WRITE, ADMIN = "read", "write", "admin"
EVERY = "*"  # stands for all names
_NAMESPACE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?/\*\Z")


@dataclass(frozen=True)
class Scope:
    """One thing that a token allows.

    Attributes:
        may: `read` or `write`.
        where: ORG/NAME, ORG/* or * for every name.
    """

    may: str
    where: str = EVERY

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read a scope as users write it.

        Raises:
            UsageError: it is none.
        """
        if text == ADMIN:
            return cls(WRITE)
        may, colon, where = text.partition(":")
        if may in (READ, WRITE) and (not colon or _NAMESPACE.match(where) or is_name(where)):
            return cls(may, where or EVERY)
        raise UsageError(
            f"{text!r} is no scope",
            remedy="Use read, write or admin; or read:ORG/*, write:ORG/*, read:ORG/NAME, "
            "write:ORG/NAME for some names alone.",
        )

    def allows(self, what: str, name: str = "") -> bool:
        """Whether it allows to read or write.

        Args:
            what: `read` or `write`.
            name: ORG/NAME of the repository; empty: any at all; EVERY: all of them.
        """
        if what == WRITE and self.may != WRITE:
            return False
        if not name or self.where in (EVERY, name):
            return True
        return self.where.endswith("/*") and name.startswith(self.where[:-1])
