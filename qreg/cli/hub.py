"""`qreg hub`: a hub of one's own, and who may use it."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.ages import seconds_of
from qreg.cli.common import command_options
from qreg.cli.output import Output, size_text
from registry.config import Settings
from registry.errors import TransferError

if TYPE_CHECKING:
    from rich.console import Console

    from registry.hub.access import Access
    from registry.hub.backends import Backend

_STORE = click.option(
    "--store",
    "url",
    default="",
    help="The registry, file:///path or s3://BUCKET/PREFIX; default: yours.",
)
_STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the tokens; default: in the registry's own, for a bucket in qreg's data.",
)


@click.group("hub")
def command() -> None:
    """Serve a registry to the clients of Hugging Face and ModelScope, unmodified."""


@command.command("serve")
@_STORE
@_STATE
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8088,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 for any free one.",
)
@click.option(
    "--open", "open_to_all", is_flag=True, help="Let everyone read and write without a token."
)
@click.option(
    "--part-size",
    default=2**30,
    show_default=True,
    type=click.IntRange(1),
    help="Bytes; larger files are uploaded in parts of this size.",
)
@click.option(
    "--public-url",
    default="",
    metavar="URL",
    help="How clients reach the hub, as https://hub.example; default: as each request says.",
)
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Believe X-Forwarded-Proto and -Host from this address or network; repeatable.",
)
@command_options
def serve_command(
    output: Output,
    settings: Settings,
    url: str,
    state: Path | None,
    host: str,
    port: int,
    open_to_all: bool,
    part_size: int,
    public_url: str,
    proxies: tuple[str, ...],
) -> None:
    """Serve until Ctrl-C or SIGTERM; requests under way are finished.

    Public repositories can be read by anyone, private ones with a token; writing takes a token
    with the scope `write` (see `qreg hub token`). Clients find the hub by HF_ENDPOINT and
    MODELSCOPE_ENDPOINT; with hf_xet installed, huggingface_hub needs HF_HUB_DISABLE_XET=1.

    Behind a proxy, name the address that clients use with --public-url, or the proxy with
    --trusted-proxy. Browsers may use an address, localhost, this machine's name or that of
    --public-url, and pages of other sites change nothing.
    """
    from registry.hub.server import serve

    backend = _backend(url, state, settings)
    gc.set_threshold(700, 10, 10)  # Python's own: other commands are too short for garbage

    def ready(address: str) -> None:
        def human(console: Console) -> None:
            console.print(f"serving   {backend.store.url}")
            console.print(f"address   {address}")
            console.print(f"export HF_ENDPOINT={address} HF_HUB_DISABLE_XET=1")
            console.print(f"export MODELSCOPE_ENDPOINT={address}")
            if open_to_all:
                console.print("Everyone who reaches this address can read and write.")
            elif not _access(backend).tokens():
                console.print("There is no token yet: qreg hub token create NAME --scope write")
            if backend.is_readable_for_all and not open_to_all:
                output.note(
                    f"Every user of this machine can read the files of {backend.store.url}, also "
                    "those of private repositories. To keep them from that: chmod o-rx on that "
                    "folder.",
                    warning=True,
                )
            console.print("Ctrl-C stops it.")

        output.result({"url": address, "store": backend.store.url}, human, essential=address)

    try:
        serve(
            backend,
            host,
            port,
            open_to_all=open_to_all,
            part=part_size,
            public_url=public_url,
            proxies=proxies,
            ready=ready,
        )
    except KeyboardInterrupt:
        pass
    output.note("Stopped.")


@command.command("clean")
@_STORE
@_STATE
@click.option(
    "--older-than", default="7d", show_default=True, metavar="TIME",
    help="What was uploaded so long ago: 12h, 30d, 4w.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be freed.")
@command_options
def clean_command(
    output: Output, settings: Settings, url: str, state: Path | None, older_than: str, dry_run: bool
) -> None:
    """Free what no commit and no revision names.

    That are uploads that were never committed, and contents of repositories and revisions that
    were removed. The hub may be served meanwhile.
    """
    from registry.hub.cleaning import clean

    backend = _backend(url, state, settings)
    freed = clean(backend, older_than=seconds_of(older_than), dry=dry_run)
    if freed is None:
        raise TransferError(
            f"Somebody is publishing to {backend.store.url} right now",
            remedy="Nothing was removed; try again later.",
        )

    def human(console: Console) -> None:
        console.print(f"{'would free' if dry_run else 'freed   '}  {size_text(freed)}")

    output.result({"bytes": freed, "dry_run": dry_run}, human, essential=str(freed))


@command.group("token")
def token() -> None:
    """Make, list and revoke the tokens of a hub."""


@token.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, default=("read",), show_default=True, metavar="SCOPE",
    help="What its bearer may do: read, write (which includes read) or admin; read:ORG/* or "
    "write:ORG/NAME for some names alone. Several may be given.",
)  # fmt: skip
@_STORE
@_STATE
@command_options
def create_command(
    output: Output,
    settings: Settings,
    name: str,
    scopes: tuple[str, ...],
    url: str,
    state: Path | None,
) -> None:
    """Make a token for NAME and print it, once."""
    secret = _access(_backend(url, state, settings)).issue(name, *scopes)

    def human(console: Console) -> None:
        console.print(secret)
        output.note("It is shown only now. Clients take it as HF_TOKEN or MODELSCOPE_API_TOKEN.")

    said = {"name": name, "scope": ",".join(scopes), "token": secret}
    output.result(said, human, essential=secret)


@token.command("list")
@_STORE
@_STATE
@command_options
def list_command(output: Output, settings: Settings, url: str, state: Path | None) -> None:
    """List the tokens, without their secrets."""
    tokens = _access(_backend(url, state, settings)).tokens()

    def human(console: Console) -> None:
        for one in tokens:
            console.print(f"{one.name}  {one.scope}  {one.created}")

    output.result([vars(one) for one in tokens], human, essential=str(len(tokens)))


@token.command("revoke")
@click.argument("name")
@_STORE
@_STATE
@command_options
def revoke_command(
    output: Output, settings: Settings, name: str, url: str, state: Path | None
) -> None:
    """Make the token of NAME invalid at once."""
    _access(_backend(url, state, settings)).revoke(name)
    output.result({"revoked": name}, lambda console: console.print(f"revoked   {name}"))


def _backend(url: str, state: Path | None, settings: Settings) -> Backend:
    from registry.hub.backends import open_backend
    from registry.stores import open_store

    store = open_store(url or settings.registry, offline=settings.offline)
    backend = open_backend(store, settings.data / "hubs", state)
    backend.prepare()
    return backend


def _access(backend: Backend) -> Access:
    from registry.hub.access import Access

    return Access(backend.state)
