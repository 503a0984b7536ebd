"""What a hub answers for: commits, tags, tokens; and what is pulled from one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from tests.faults.power.case import NAME, OTHER, Case, Sources, sound, succeed, tags, whole
from tests.faults.power.folders import Pull
from tests.faults.power.machine import Machine, Process

_SECONDS = 30  # that a hub may take for an answer


class OnHub(Case):
    """A hub on the disk, with a token and a repository."""

    url = ""
    token = ""
    first = ""  # the commit that was there

    def prepare(self, machine: Machine) -> None:
        self.token, self.first = _issue(machine, "writer", "write"), ""
        self.begin(machine)
        self.first = succeed(self._call(machine, "commit", self.sources.old))

    def begin(self, machine: Machine) -> None:
        self.url = machine.hub()

    def _call(self, machine: Machine, what: str, *rest: object, name: str = NAME) -> Process:
        arguments = ("-m", "tests.faults.power.client", what, self.url, self.token, name, *rest)
        return machine.python(*arguments, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")

    def _get(self, path: str, token: str = "") -> requests.Response:
        headers = {"authorization": f"Bearer {token or self.token}"}
        return requests.get(f"{self.url}/{path}", headers=headers, timeout=_SECONDS)

    def _newest(self, revision: str = "main") -> str:
        """The commit that a revision names; empty if the hub does not know it."""
        answer = self._get(f"api/models/{NAME}/revision/{revision}")
        return str(answer.json()["sha"]) if answer.ok else ""

    def _serves(self, revision: str, wanted: Mapping[str, str]) -> Iterator[str]:
        """Problems of downloading all files of a revision."""
        wrong = []
        for path, sha256 in wanted.items():
            try:
                answer = self._get(f"{NAME}/resolve/{revision}/{path}")
                found = hashlib.sha256(answer.content).hexdigest() if answer.ok else answer.reason
            except requests.RequestException as error:
                found = type(error).__name__
            if found != sha256:
                wrong.append(f"{path} ({found[:40]})")
        if wrong:
            yield f"{len(wrong)} of {len(wanted)} files of {revision} are damaged: {wrong}"


class Commit(OnHub):
    """huggingface_hub's upload_folder; the contents are new."""

    name = "commit new"

    def work(self, machine: Machine) -> Process:
        return self._call(machine, "commit", self.sources.new)

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        self.begin(machine)
        found = self._newest()
        if found != said:
            yield f"main is {found or 'lost'} in place of {said}"
        yield from self._serves(said, self.sources.new_tree)
        yield from self._serves(self.first, self.sources.old_tree)
        yield from sound(machine)

    def halfway(self, machine: Machine) -> Iterator[str]:
        self.begin(machine)
        found = self._newest()
        visible = self.sources.old_tree if found == self.first else self.sources.new_tree
        yield from self._serves("main", visible)
        yield from self._serves(self.first, self.sources.old_tree)
        machine.kill()


class FirstCommit(Commit):
    """The same, to a repository that is made for it, on a hub that has served nothing."""

    name = "commit first"

    def prepare(self, machine: Machine) -> None:
        self.token = _issue(machine, "writer", "write")

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        self.begin(machine)
        found = self._newest()
        if found != said:
            yield f"main is {found or 'lost'} in place of {said}"
        yield from self._serves(said, self.sources.new_tree)
        yield from sound(machine)


class KnownCommit(Commit):
    """The same, of contents that another repository has already."""

    name = "commit known"

    def prepare(self, machine: Machine) -> None:
        super().prepare(machine)
        succeed(self._call(machine, "commit", self.sources.new, name=OTHER))


class SkippedCommit(Commit):
    """The large files are there when they are to be sent; the hub that took them was killed."""

    name = "commit skipped"

    def begin(self, machine: Machine) -> None:
        super().begin(machine)
        if self.first and not machine.started_again:
            succeed(self._call(machine, "send", self.sources.new))
            machine.kill()
            super().begin(machine)


class HubPublication(Commit):
    """`qreg publish` to a hub."""

    def __init__(self, sources: Sources, scheme: str) -> None:
        super().__init__(sources)
        self.name, self._scheme = f"publish to {scheme}", scheme

    def work(self, machine: Machine) -> Process:
        to = ("--to", self._scheme, "--json", "--tag", "stable")
        variables = client_variables(self.url, self.token)
        # Its own data is not on the disk of the hub: what it forces out there would help the hub.
        variables["QREG_DATA"] = str(machine.elsewhere / "data")
        return machine.start("publish", self.sources.new, "--name", NAME, *to, **variables)

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        digest = json.loads(said)["digest"]
        self.begin(machine)
        for revision in ("main", "stable"):
            yield from self._serves(revision, self.sources.new_tree)
        yield from self._serves(self.first, self.sources.old_tree)
        yield from sound(machine)
        found = tags(machine, NAME)
        if digest not in found.values():
            yield f"{digest} is not in the registry: {found}"


class HubTag(OnHub):
    """A tag is removed and made again for another commit."""

    name = "hub tag moved"
    repeats = False
    _second = ""

    def prepare(self, machine: Machine) -> None:
        super().prepare(machine)
        self._second = succeed(self._call(machine, "commit", self.sources.new))
        variables = {"HF_HUB_DISABLE_XET": "1"}
        make = "import sys, huggingface_hub as h; h.HfApi(endpoint=sys.argv[1], token=sys.argv[2])"
        make += ".create_tag(sys.argv[3], tag='stable', revision=sys.argv[4])"
        arguments = (self.url, self.token, NAME, self.first)
        succeed(machine.python("-c", make, *arguments, **variables))

    def work(self, machine: Machine) -> Process:
        return self._call(machine, "tag", "stable", self._second)

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        self.begin(machine)
        found = self._newest("stable")
        if found != self._second:
            yield f"stable names {found or 'nothing'} in place of {self._second}"
        yield from self._serves("stable", self.sources.new_tree)
        yield from sound(machine)
        registered = tags(machine, NAME)
        if registered.get("stable") != registered.get("latest"):
            yield f"in the registry stable does not name the newest revision: {registered}"


class HubTagRemoved(HubTag):
    """A tag is removed."""

    name = "hub tag removed"
    repeats = False

    def work(self, machine: Machine) -> Process:
        return self._call(machine, "untag", "stable")

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        self.begin(machine)
        if found := self._newest("stable"):
            yield f"stable is back, and names {found}"
        if "stable" in tags(machine, NAME):
            yield "stable is back in the registry"


class TokenMade(OnHub):
    """`qreg hub token create`."""

    name = "token made"
    repeats = False

    def work(self, machine: Machine) -> Process:
        options = ("--scope", "read", "--store", machine.registry, "--quiet")
        return machine.start("hub", "token", "create", "reader", *options)

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        self.begin(machine)
        for who, token in (("the new token", said), ("the token from before", self.token)):
            if not self._get("api/whoami-v2", token).ok:
                yield f"{who} is lost"


class TokenRevoked(OnHub):
    """`qreg hub token revoke`."""

    name = "token revoked"
    repeats = False
    _gone = ""

    def prepare(self, machine: Machine) -> None:
        super().prepare(machine)
        self._gone = _issue(machine, "leaver", "read")

    def work(self, machine: Machine) -> Process:
        return machine.start("hub", "token", "revoke", "leaver", "--store", machine.registry)

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        self.begin(machine)
        if self._get("api/whoami-v2", self._gone).ok:
            yield "the token that was revoked is valid again"
        if not self._get("api/whoami-v2").ok:
            yield "the other token is lost"


class PullFromHub(Pull):
    """`qreg pull --output` from a hub elsewhere."""

    name = "pull --output"

    def __init__(self, sources: Sources, scheme: str, variables: Mapping[str, str]) -> None:
        Case.__init__(self, sources)
        self._scheme, self._variables = scheme, variables

    def prepare(self, machine: Machine) -> None:
        machine.output.parent.mkdir()
        arguments = ("publish", self.sources.new, "--name", NAME, "--to", self._scheme)
        succeed(machine.start(*arguments, **self._variables))

    def work(self, machine: Machine) -> Process:
        arguments = ("pull", f"{self._scheme}{NAME}", "--output", machine.output)
        return machine.start(*arguments, **self._variables)


class PullIntoCache(PullFromHub):
    """`qreg pull` from a hub elsewhere; then nothing but the cache is there to take it from."""

    name = "pull into the cache"
    _options: tuple[str, ...] = ()

    def _wanted(self) -> Mapping[str, str]:
        return self.sources.new_tree

    def work(self, machine: Machine) -> Process:
        arguments = ("pull", f"{self._scheme}{NAME}", "--json", *self._options)
        return machine.start(*arguments, **self._variables)

    def acknowledged(self, machine: Machine, said: str) -> Iterator[str]:
        yield from self._offline(machine, refused=False)

    def halfway(self, machine: Machine) -> Iterator[str]:
        yield from self._offline(machine, refused=True)

    def _offline(self, machine: Machine, *, refused: bool) -> Iterator[str]:
        arguments = ("pull", f"{self._scheme}{NAME}", "--offline", "--json", *self._options)
        ended = machine.run(*arguments, **self._variables)
        if ended.code == 0:
            yield from whole(Path(ended.json["folder"]), self._wanted())
        elif not refused or ended.code not in (3, 5, 6, 7):
            yield f"qreg pull --offline: {ended.said}"


class PullPartIntoCache(PullIntoCache):
    """The same, of some of the files."""

    name = "pull a part"
    _options = ("--include", "*1-of-*", "--include", "assets/*", "--include", "README.md")

    def _wanted(self) -> Mapping[str, str]:
        chosen = ("assets/one.txt", "assets/deeper/two.txt", "model-00001-of-00002.safetensors")
        return {path: self.sources.new_tree[path] for path in chosen}


def client_variables(url: str, token: str) -> dict[str, str]:
    """What makes stock clients use a hub."""
    return {
        "HF_ENDPOINT": url,
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "MODELSCOPE_ENDPOINT": url,
        "MODELSCOPE_API_TOKEN": token,
    }


def _issue(machine: Machine, name: str, scope: str) -> str:
    options = ("--scope", scope, "--store", machine.registry, "--quiet")
    return succeed(machine.start("hub", "token", "create", name, *options))
