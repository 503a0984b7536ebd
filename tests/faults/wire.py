"""Servers and networks that fail while something is pulled or published."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults import checks
from tests.faults.checks import Outcome
from tests.faults.children import Sandbox
from tests.faults.model import tree, write_source
from tests.faults.places import Place
from tests.faults.proxy import Proxy, Rule, proxy

NAME = "org/model"
_QUICK = {"impatient": 1.5, "hurried": 0.05}
_LIGHT = 30_000  # rows: half a MB a shard
_BAD_BYTES = ("flip", "other", "longer")
_NO_SECOND_CHANCE = ("range", "longer")  # a server that says so is believed
_SHARD = r"of-00002\.safetensors(\?|&|$)"
_SMALL = r"chat_template\.jinja(\?|&|$)"


@dataclass(frozen=True)
class Target:
    """Requests of a store's client.

    Attributes:
        name: for people.
        path, method, least: see `Rule`.
        faults: that are tried on them.
    """

    name: str
    path: str
    faults: tuple[str, ...]
    method: str = "GET"
    least: int = 0


_ASKING = ("500", "429", "reset", "cut", "stall")
_CONTENT = (*_ASKING, "flip", "range", "other", "longer")
_SENDING = ("500", "429", "reset", "mute", "lost")
_UNHEARD = ("lost", "cut", "stall")  # it was done, and whoever asked does not hear of it
_ANSWERED = (*_SENDING, "cut", "stall")  # where the answer has a body that is needed


def _pull_targets(listing: str) -> tuple[Target, ...]:
    return (
        Target("listing", listing, _ASKING),
        Target("shard", _SHARD, _CONTENT),
        Target("small file", _SMALL, ("500", "cut", "flip", "other")),
        Target("manifest", r"qreg\.json(\?|&|$)", ("500", "cut", "flip", "other")),
    )


PULLING = {
    "hf": _pull_targets(r"^/api/models/"),
    "ms": _pull_targets(r"/repo/files"),
    "moto": _pull_targets(r"list-type=2"),
    "swift": _pull_targets(r"list-type=2"),
}
_S3 = (
    Target("asking", r"list-type=2", ("500", "429", "reset", "mute", "cut", "stall"), "GET"),
    Target("upload", _SHARD, _SENDING, "PUT"),
    Target("manifest", r"qreg\.json", _SENDING, "PUT"),
    Target("tag", r"\.tags/", _SENDING, "PUT"),
)
PUBLISHING = {
    "hf": (
        Target("asking", r"/api/repos/create|preupload|objects/batch", _ANSWERED, "POST"),
        Target("upload", r"^/upload/", (*_SENDING, "spoil"), "PUT"),
        Target("commit", r"/commit/main", _ANSWERED, "POST"),
        Target("tag", r"/tag/", _SENDING, "POST"),
    ),
    "ms": (
        Target("asking", r"/api/v1/models$|objects/batch", _ANSWERED, "POST"),
        Target("upload", r"^/upload/", (*_SENDING, "spoil"), "PUT"),
        Target("commit", r"/commit/master", _ANSWERED, "POST"),
        Target("tag", r"/repo/tag", _SENDING, "POST"),
    ),
    "moto": _S3,
    # moto looks at no body's sha256, unlike any server that checks signatures.
    "swift": (*_S3, Target("bytes", _SHARD, ("spoil",), "PUT")),
}


_S3_PLACES = ("moto", "swift")


def broken_pulls(
    place: Place, folder: Path, only: Iterable[tuple[str, str]] = ()
) -> Iterator[Outcome]:
    """Each fault once, always, and always with a second source that is healthy."""
    sandbox = Sandbox(folder / "sandbox", place.environment)
    source = write_source(folder / "source", seed=1, vocabulary=_LIGHT)
    before, second = tree(source), f"file://{folder}/second"
    for url in (place.url, second):
        done = sandbox.run("publish", source, "--name", NAME, "--to", url)
        if done.code != 0:
            yield Outcome("broken pull", place.name, "without a fault", (done.said,))
            return
    digest = sandbox.run("whole", second, NAME).json["resolves"]
    with proxy(place.server) as between:
        broken = place.behind(between.url)
        for target, fault in _chosen(PULLING[place.name], only):
            for times, sources in ((1, ()), (None, ()), (None, (second,))):
                if sources and target.name == "listing" and place.name in _S3_PLACES:
                    continue  # a pin names the revision, so that nothing is listed
                # Only a pin says that what another source has is what was meant.
                name = f"{NAME}@{digest}" if sources else NAME
                reference = name if sources else place.reference(NAME)
                rule = Rule(fault, target.method, target.path, target.least, times)
                urls = (place.url, *sources)
                problems = list(
                    _pull(sandbox, broken, between, target, rule, urls, reference, before)
                )
                how = "once" if times else "always, a second source" if sources else "always"
                what = f"{fault} of {target.name}, {how}"
                yield Outcome("broken pull", place.name, what, tuple(problems))


def _pull(
    sandbox: Sandbox,
    place: Place,
    between: Proxy,
    target: Target,
    rule: Rule,
    sources: tuple[str, ...],
    reference: str,
    before: dict[str, str],
) -> Iterator[str]:
    output = sandbox.root / "output"
    shutil.rmtree(output, ignore_errors=True)
    shutil.rmtree(sandbox.cache, ignore_errors=True)
    shutil.rmtree(output.with_name(".output.qreg-received"), ignore_errors=True)
    environment = {**place.environment, "QREG_SOURCES": ",".join(sources)}
    fault, times = rule.fault, rule.times
    arguments = ("pull", reference, "--output", output)
    with between.breaking(rule):
        ended = sandbox.run(*arguments, env=environment, limits=_QUICK)
    if not rule.hits:
        yield "the fault met no request"
    if ended.code == 0:
        yield from checks.pulled(output, before)
        yield from checks.leftovers(output)
    else:
        yield from checks.nothing_accepted(sandbox, output)
    codes = (5, 7) if fault in _BAD_BYTES else (7,)
    # The bytes are what counts: other words about a file whose sha256 is right do no harm.
    harmless = fault == "longer" or (target.name == "manifest" and fault in _BAD_BYTES)
    if len(sources) > 1 or (times and fault not in _NO_SECOND_CHANCE):
        yield from checks.succeeded(ended)
    elif ended.code != 0 or (times is None and not harmless):
        yield from checks.failed(ended, *codes)
    if ended.code != 0:
        rerun = sandbox.run(*arguments, env=environment)
        yield from checks.succeeded(rerun)
        if rerun.code == 0:
            yield from checks.pulled(output, before)


def broken_publications(
    place: Place, folder: Path, only: Iterable[tuple[str, str]] = ()
) -> Iterator[Outcome]:
    """Each fault once, and always."""
    sandbox = Sandbox(folder / "sandbox", place.environment)
    number = 0
    with proxy(place.server) as between:
        broken = place.behind(between.url)
        for target, fault in _chosen(PUBLISHING[place.name], only):
            for times in (1, None):
                number += 1
                # Not the contents that were pulled: a hub takes no content twice.
                source = write_source(folder / f"source-{number}", 100 + number, _LIGHT)
                rule = Rule(fault, target.method, target.path, target.least, times)
                problems = list(_publish(sandbox, place, broken, between, rule, source, number))
                shutil.rmtree(source)
                what = f"{fault} of {target.name}, {'once' if times else 'always'}"
                yield Outcome("broken publish", place.name, what, tuple(problems))


def _publish(
    sandbox: Sandbox,
    place: Place,
    broken: Place,
    between: Proxy,
    rule: Rule,
    source: Path,
    number: int,
) -> Iterator[str]:
    before, name = tree(source), f"org/model-{number}"
    arguments = ("publish", source, "--name", name, "--to", place.url, "--json")
    with between.breaking(rule):
        ended = sandbox.run(*arguments, env=broken.environment, limits=_QUICK)
    if not rule.hits:
        yield "the fault met no request"
    yield from checks.unchanged(source, before)
    yield from checks.whole(sandbox, place, name)
    if rule.times:
        yield from checks.succeeded(ended)
    elif (
        ended.code != 0 or rule.fault not in _UNHEARD
    ):  # what arrived may be found without its answer
        yield from checks.failed(ended, 7)
    if ended.code != 0:
        ended = sandbox.run(*arguments)
        yield from (f"again: {problem}" for problem in checks.succeeded(ended))
    if ended.code == 0:
        yield from checks.whole(sandbox, place, name, [ended.json["digest"]])
        yield from checks.published(sandbox, place, name, source, before)


def _chosen(
    targets: Iterable[Target], only: Iterable[tuple[str, str]]
) -> Iterator[tuple[Target, str]]:
    wanted = set(only)
    for target in targets:
        for fault in target.faults:
            if not wanted or (target.name, fault) in wanted:
                yield target, fault
