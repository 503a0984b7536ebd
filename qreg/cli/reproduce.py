"""`qreg reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qreg.cli.common import resolving_options
from qreg.cli.output import Output
from registry.config import Settings

if TYPE_CHECKING:
    from rich.console import Console

MOST = 15  # names on the terminal; --json has them all


@click.command("reproduce")
@click.argument("reference")
@click.option("--source", default="", help="Where the float model is now, if not where it was.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, exists=True),
    help="Where the calibration set that was used then is now, if not where it was.",
)
@click.option(
    "--anti-dataset",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The same for the set to smooth with.",
)
@click.option(
    "--script",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The script that was run then, in its checkout.",
)
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    help="Keep the new artifact in this new folder; by default it is kept only if it differs.",
)
@click.option(
    "--any-toolchain", is_flag=True, help="Go on where the toolchain is not the recorded one."
)
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Let the float model's own Python code run, where it ran then.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS]...")
@resolving_options
def command(
    output: Output,
    settings: Settings,
    *,
    reference: str,
    source: str,
    calibration: Path | None,
    anti_dataset: Path | None,
    script: Path | None,
    folder: Path | None,
    any_toolchain: bool,
    trust_remote_code: bool,
    arguments: tuple[str, ...],
) -> int:
    """Run the recipe that REFERENCE was made by again, in the recorded toolchain, and compare.

    What a script was told then is told to it again only if you give it after --.
    Ends with exit code 0 if every file that loading reads is identical, and 1 if not.
    """
    from quantizers.reproduce import Again, reproduce

    again = Again(
        source=source,
        calibration=calibration,
        anti_dataset=anti_dataset,
        script=script,
        output=folder,
        any_toolchain=any_toolchain,
        trust_remote_code=trust_remote_code,
        arguments=arguments,
    )
    with output.progress() as observe:
        found = reproduce(reference, settings, again, observe)
    document = {
        "reference": reference,
        "identical": found.identical,
        "recorded": found.recorded,
        "new": found.new,
        "tensors_alike": found.tensors,
        "tensors_changed": [vars(change) for change in found.changed],
        "files_changed": list(found.files),
        "toolchain_differences": list(found.environment),
        "folder": found.folder and str(found.folder),
        "mlflow_run": found.run_id,
        "seconds": round(found.seconds, 1),
    }

    def human(console: Console) -> None:
        if found.identical:
            console.print(f"Identical: {found.new}, all {found.tensors} tensors.")
            return
        console.print(f"Different: recorded {found.recorded}, now {found.new}")
        for row in found.files[:MOST]:
            console.print(f"  file {row}")
        if found.tensors is None:
            console.print("  The recorded tensors are not on this machine: pull them to compare.")
        else:
            console.print(f"  {found.tensors} tensors are alike, {len(found.changed)} are not:")
        for change in found.changed[:MOST]:
            console.print(f"  tensor {change.name} {change.what}")
        console.print(f"The new artifact is in {found.folder}")

    output.result(document, human, essential="identical" if found.identical else "different")
    return 0 if found.identical else 1
