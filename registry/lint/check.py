"""What a check is: a small function over what is known of an artifact, and why it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from registry.finding import Finding
from registry.lint.subject import Subject
from registry.names import one_line

_MOST = 100  # findings of one check; whoever has more mends those first, and is told so
_LONGEST = 2000  # characters; names in an artifact may be longer
ASCEND = "vllm-project/vllm-ascend#"


@dataclass(frozen=True)
class Found:
    """One thing that a check found.

    Attributes:
        message: in one sentence.
        where: the file, tensor or layer.
        severity: where it differs from the check's.
        fix: where it differs from the check's.
    """

    message: str
    where: str = ""
    severity: str | None = None
    fix: str | None = None


@dataclass(frozen=True)
class Check:
    """A check of the catalogue.

    Attributes:
        id: how findings, `--ignore` and `--explain` name it.
        severity: of what it finds, unless the finding says otherwise.
        prevents: the failure that it prevents, as its victim meets it.
        seen: where that failure is on record: public issues as OWNER/REPOSITORY#NUMBER, or the
            tool that causes it.
        fix: how to mend it.
        run: yields what it finds.
        mendable: whether `lint --fix` mends it.
    """

    id: str
    severity: str
    prevents: str
    seen: str
    fix: str
    run: Callable[[Subject], Iterable[Found]]
    mendable: bool = False

    def findings(self, subject: Subject) -> Iterator[Finding]:
        """What it finds, complete with severity and fix; of very many the first ones."""
        found = list(islice(self.run(subject), _MOST + 1))
        if len(found) > _MOST:
            found[_MOST] = Found(f"There is more of this; the first {_MOST} findings are listed")
        for one in found:
            yield Finding(
                self.id,
                one.severity or self.severity,
                one_line(one.message)[:_LONGEST],
                self.fix if one.fix is None else one_line(one.fix),
                one_line(one.where)[:_LONGEST],
            )


def check(
    identifier: str,
    severity: str,
    *,
    prevents: str,
    seen: str,
    fix: str,
    mendable: bool = False,
) -> Callable[[Callable[[Subject], Iterable[Found]]], Check]:
    """Make a check of a function."""

    def wrap(function: Callable[[Subject], Iterable[Found]]) -> Check:
        return Check(identifier, severity, prevents, seen, fix, function, mendable)

    return wrap


def some(names: Sequence[str], what: str = "") -> str:
    """`a.weight`, or `a.weight and 11 more tensors`."""
    if len(names) == 1:
        return names[0]
    return f"{names[0]} and {len(names) - 1} more{f' {what}' if what else ''}"
