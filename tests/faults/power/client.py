"""python -m tests.faults.power.client: one call of huggingface_hub's, whose answer is the exit.

The process ends as soon as the call returns, without what Python does at its end.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi


def main(what: str, endpoint: str, token: str, name: str, *rest: str) -> str:
    """Do it; return what the hub answered.

    Args:
        what: `commit` and `send` take a folder, `tag` a tag and a revision, `untag` a tag.
        endpoint: the hub.
        token: with the right to write.
        name: ORG/NAME.
        rest: see `what`.
    """
    api = HfApi(endpoint=endpoint, token=token)
    if what == "commit":
        api.create_repo(name, exist_ok=True)
        return api.upload_folder(repo_id=name, folder_path=rest[0], commit_message="a trial").oid
    if what == "send":  # large files, named by no commit yet
        files = sorted(Path(rest[0]).glob("*.safetensors"))
        additions = [CommitOperationAdd(file.name, file) for file in files]
        api.preupload_lfs_files(name, additions=additions)
        return ""
    api.delete_tag(name, tag=rest[0])
    if what == "tag":
        api.create_tag(name, tag=rest[0], revision=rest[1])
    return ""


if __name__ == "__main__":
    print(main(*sys.argv[1:]), flush=True)
    os._exit(0)
