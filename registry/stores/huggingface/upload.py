"""Sending files to a Hugging Face repository: LFS for large ones, one commit for all.

The protocol is what huggingface_hub 2.4 speaks (`_commit_api.py`, `lfs.py`). It is spoken here
because its uploads hash each file once more and send it in small pieces; the digest of an artifact
is known when it is published.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from registry.artifact import FileEntry
from registry.errors import TransferError, UsageError
from registry.stores.uploading import Tally, content_of, upload_all
from registry.transport import Transport
from registry.transport.answers import parse_json
from registry.transport.errors import RejectedError

_LFS = {
    "Accept": "application/vnd.git-lfs+json",
    "Content-Type": "application/vnd.git-lfs+json",
}
_BATCH = 256  # files in one request, as huggingface_hub asks
_SAMPLE = 512  # bytes of a file by which the hub tells text from the rest


@dataclass(frozen=True)
class Outgoing:
    """A file to be sent: what it is and where it lies."""

    entry: FileEntry
    file: Path


class HuggingFaceUpload:
    """Uploads to one branch of one repository.

    Args:
        endpoint: of the hub, without a slash at its end.
        name: ORG/NAME.
        branch: that is committed to.
        transport: with the user's credentials.
    """

    def __init__(self, endpoint: str, name: str, branch: str, transport: Transport) -> None:
        self._endpoint, self._name, self._transport = endpoint, name, transport
        self._branch = quote(branch, safe="")

    def send(
        self,
        files: Sequence[Outgoing],
        deleted: Iterable[str],
        parent: str | None,
        message: str,
        tally: Tally,
    ) -> str:
        """Upload what the hub lacks and commit everything at once.

        Args:
            files: that the new revision has and the parent has not.
            deleted: paths of the parent that the new revision lacks.
            parent: the commit that this one is made for; another one there is an error.
            message: of the commit.
            tally: is told the bytes sent.

        Returns:
            The new commit.
        """
        large, small = self._sort(files)
        self.send_large(large, tally)
        lines: list[dict[str, Any]] = [
            {
                "key": "header",
                "value": {
                    "summary": message,
                    "description": "",
                    **({"parentCommit": parent} if parent else {}),
                },
            }
        ]
        for one in small:
            content = content_of(one.entry, one.file)
            lines.append(
                {
                    "key": "file",
                    "value": {
                        "content": base64.b64encode(content).decode(),
                        "path": one.entry.path,
                        "encoding": "base64",
                    },
                }
            )
            tally.of(one.entry.path, one.entry.size)(one.entry.size)
        for one in large:
            value = {"path": one.entry.path, "algo": "sha256", "oid": one.entry.sha256}
            lines.append({"key": "lfsFile", "value": {**value, "size": one.entry.size}})
        lines += [{"key": "deletedFile", "value": {"path": path}} for path in deleted]
        answer = self._post(
            f"{self._endpoint}/api/models/{self._name}/commit/{self._branch}",
            "the commit",
            data=b"".join(json.dumps(line).encode() + b"\n" for line in lines),
            headers={"Content-Type": "application/x-ndjson"},
        )
        return str(answer.get("commitOid", ""))

    def _sort(self, files: Sequence[Outgoing]) -> tuple[list[Outgoing], list[Outgoing]]:
        """Large files and small ones, as the hub wants to have them."""
        modes = self._ask(files)
        for path, row in modes.items():
            if row.get("shouldIgnore"):
                raise UsageError(
                    f"The repository's .gitignore leaves out {path}",
                    remedy="Change .gitignore on the hub; an artifact needs all its files.",
                )
        # An empty file cannot be in LFS.
        lfs = {path for path, row in modes.items() if row.get("uploadMode") == "lfs"}
        large = [o for o in files if o.entry.path in lfs and o.entry.size]
        sent = {one.entry.path for one in large}
        return large, [one for one in files if one.entry.path not in sent]

    def _ask(self, files: Sequence[Outgoing]) -> dict[str, Mapping[str, Any]]:
        """What the hub says of files that are about to be sent, by their paths."""
        found: dict[str, Mapping[str, Any]] = {}
        for begin in range(0, len(files), _BATCH):
            asked = [
                {"path": o.entry.path, "sample": _sample(o.file), "size": o.entry.size}
                for o in files[begin : begin + _BATCH]
            ]
            answer = self._post(
                f"{self._endpoint}/api/models/{self._name}/preupload/{self._branch}",
                "the upload",
                json={"files": asked},
            )
            found |= {str(row.get("path")): row for row in answer.get("files", ())}
        return found

    def _batch(self, files: Sequence[Outgoing]) -> Iterator[Mapping[str, Any]]:
        """What the hub says of contents: which it has, and where to send the others."""
        for begin in range(0, len(files), _BATCH):
            objects = [
                {"oid": o.entry.sha256, "size": o.entry.size} for o in files[begin : begin + _BATCH]
            ]
            answer = self._post(
                f"{self._endpoint}/{self._name}.git/info/lfs/objects/batch",
                "the upload",
                json={
                    "operation": "upload",
                    "transfers": ["basic", "multipart"],
                    "objects": objects,
                    "hash_algo": "sha256",
                },
                headers=_LFS,
            )
            yield from answer.get("objects", ())

    def lost(self, files: Sequence[Outgoing]) -> list[Outgoing]:
        """Which of some files of the branch the hub lists, and has no sound content of.

        A hub of one's own hashes what it keeps, and mends what is damaged when it comes again.

        Args:
            files: that the branch has.
        """
        large, small = [], []
        modes = self._ask(files)
        for one in files:
            mode = modes.get(one.entry.path, {})
            if mode.get("uploadMode") == "lfs" and one.entry.size:
                large.append(one)
            elif "oid" in mode and mode["oid"] is None:
                small.append(one)
        rows = {str(row.get("oid")): row for row in self._batch(large)}
        return small + [
            one for one in large if (rows.get(one.entry.sha256, {}).get("actions") or {})
        ]

    def send_large(self, files: Sequence[Outgoing], tally: Tally) -> None:
        """Upload contents that the hub lacks; they belong to nothing before a commit."""
        unique = {one.entry.sha256: one for one in files}
        jobs = []
        for row in self._batch(list(unique.values())):
            one = unique[row["oid"]]
            if row.get("error"):
                raise TransferError(
                    f"The hub refuses {one.entry.path}: {row['error'].get('message', '')}"
                )
            actions = row.get("actions") or {}
            if "upload" in actions:
                jobs.append(_job(self, one, actions, tally))
            else:
                tally.of(one.entry.path, one.entry.size)(one.entry.size)
        upload_all(jobs, tally)

    def put(self, one: Outgoing, actions: Mapping[str, Any], tally: Tally) -> None:
        """Send one large file where the hub wants it, whole or in parts."""
        upload, path, size = actions["upload"], one.entry.path, one.entry.size
        header = dict(upload.get("header") or {})
        told = tally.of(path, size)
        chunk = header.pop("chunk_size", None)
        if chunk is None:
            self._transport.put_file(
                path, upload["href"], one.file, 0, size, headers=header, told=told
            )
        else:
            urls = {int(number): url for number, url in header.items() if number.isdigit()}
            try:
                self._put_parts(one, upload["href"], urls, int(chunk), told)
            except RejectedError:  # one of them was damaged on its way, and nobody knows which
                told(-size)
                self._put_parts(one, upload["href"], urls, int(chunk), told)
        verify = actions.get("verify")
        if verify:
            self._post(
                verify["href"],
                path,
                json={"oid": one.entry.sha256, "size": size},
                headers={**_LFS, **(verify.get("header") or {})},
            )

    def _put_parts(
        self,
        one: Outgoing,
        completion: str,
        urls: Mapping[int, str],
        length: int,
        told: Callable[[int], None],
    ) -> None:
        path, size, parts = one.entry.path, one.entry.size, []
        for number in sorted(urls):
            offset = (number - 1) * length
            answer = self._transport.put_file(
                f"part {number} of {path}",
                urls[number],
                one.file,
                offset,
                min(length, size - offset),
                told=told,
            )
            parts.append({"partNumber": number, "etag": answer.get("ETag", "")})
        done = {"oid": one.entry.sha256, "parts": parts}
        self._post(completion, path, json=done, headers=_LFS)

    def _post(self, url: str, what: str, **arguments: Any) -> dict[str, Any]:
        response = self._transport.request("POST", f"{what} of hf://{self._name}", url, **arguments)
        try:
            answer = parse_json(response.content) if response.content else {}
        except ValueError as error:
            raise TransferError(
                f"The hub answered {what} of hf://{self._name} with no JSON",
                remedy="Check HF_ENDPOINT; the server may not be a Hugging Face hub.",
            ) from error
        return answer if isinstance(answer, dict) else {}


def _job(upload: HuggingFaceUpload, one: Outgoing, actions: Mapping[str, Any], tally: Tally) -> Any:
    return lambda: upload.put(one, actions, tally)


def _sample(file: Path) -> str:
    with file.open("rb") as reader:
        return base64.b64encode(reader.read(_SAMPLE)).decode()
