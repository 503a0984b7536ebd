"""Model versions in MLflow: one for each publication, its descriptor bundle as a LoggedModel.

The version's source is `models:/<model_id>`, so that the UI links both and no weights pass MLflow;
where the weights are is in the tags `qreg.reference` and `qreg.digest`, and in the manifest.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.artifact import Digest
from registry.config import Settings
from registry.errors import IntegrityError, NotFoundError, UsageError
from registry.reference import SCHEMES, Reference
from registry.tracking.client import ensure_experiment
from registry.tracking.entries import Wanted, read_tags
from registry.tracking.names import model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_DESCRIPTION = 5000  # characters; PostgreSQL refuses longer ones, SQLite does not


def register_version(
    client: MlflowClient, files: Path, op: dict[str, Any], settings: Settings
) -> None:
    """Make the LoggedModel, the version and the alias of one publication; repeating is harmless.

    Args:
        client: connected.
        files: the activity's files; `op["bundle"]` names the descriptor's folder in it.
        op: `name` (ORG/NAME), `digest`, `reference`, `tags`, `params`, `alias`, `description`,
            `run_id` (or None), `experiment`.
        settings: where artifacts of new experiments go.
    """
    registered = model_name(op["name"])
    _ensure_registered(client, registered, op)
    version = _find_version(client, registered, op["reference"])
    if version is None:
        version = _create_version(client, registered, files / op["bundle"], op, settings)
    client.set_registered_model_alias(registered, op["alias"], version)


def resolve_model(reference: Reference, settings: Settings) -> tuple[str, Digest]:
    """Where the weights of `models:/NAME/VERSION` or `models:/NAME@ALIAS` are, and their digest.

    Raises:
        NotFoundError: no such model, version or alias, or a version that qreg did not publish.
        IntegrityError: the entry names something that qreg does not write there, such as a folder.
        TransferError, NotAllowedError, ToolError: MLflow does not answer, or refuses; see
            `entries.read_tags`.
    """
    name, _, number = reference.location.rpartition("/")
    if reference.revision or not number.isdigit():
        name, number = model_name(reference.location), ""
    if number:
        wanted = Wanted(model_name(name), version=number)
    else:
        wanted = Wanted(name, alias=reference.revision or "current")
    tags = read_tags(wanted, settings)
    if tags is None:
        raise NotFoundError(
            f"MLflow at {settings.registry_label} has no {reference}",
            remedy="`qreg ui` shows the registered models, their versions and aliases.",
        )
    target, digest = tags.get("qreg.reference"), tags.get("qreg.digest")
    if not target or not digest:
        raise NotFoundError(
            f"{reference} was not published by qreg: it has no tags qreg.reference and qreg.digest",
            remedy="Publish the artifact with `qreg publish`.",
        )
    return _checked(reference, target, digest, settings)


def _checked(entry: Reference, target: str, digest: str, settings: Settings) -> tuple[str, Digest]:
    """What an entry of MLflow names, if it is what qreg writes there.

    Whoever can write to a tracking server can write any text into it. So it may name a place of a
    store, pinned by the digest of the same entry, and never what this machine would take for a
    folder of its user.
    """
    try:
        pinned, found = Digest.parse(digest), Reference.parse(target)
    except UsageError as error:
        raise _strange(entry, target, error.message) from error
    if "://" not in target or found.scheme not in SCHEMES or found.scheme == "models":
        raise _strange(entry, target, "it is no place of a store")
    if found.digest != pinned:
        raise _strange(entry, target, f"it is not pinned by the entry's digest, {pinned}")
    if found.scheme == "file":
        path = target.partition("://")[2].rpartition("@")[0]
        if any(part in ("", ".", "..") for part in path.split("/")[1:]):
            raise _strange(entry, target, "its path is not plain")
        if not settings.embedded_registry and not _in_registry(Path(path)):
            raise _strange(entry, target, "that is no registry on this machine")
    return str(found), pinned


def _in_registry(path: Path) -> bool:
    from registry.stores.local_marker import MARKER

    return any((above / MARKER).is_file() for above in path.parents)


def _strange(entry: Reference, target: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"{entry} refers to {target[:400]!r}, which qreg does not write there: {why}",
        remedy="Name the artifact itself, as ORG/NAME or with its store, and tell whoever looks "
        "after this MLflow.",
    )


def _ensure_registered(client: MlflowClient, name: str, op: dict[str, Any]) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(name, description=f"Builds of {op['name']}.")


def _find_version(client: MlflowClient, name: str, reference: str) -> str | None:
    found = client.search_model_versions(f"name = '{name}'")
    return next((str(v.version) for v in found if v.tags.get("qreg.reference") == reference), None)


def _create_version(
    client: MlflowClient, name: str, bundle: Path, op: dict[str, Any], settings: Settings
) -> str:
    import mlflow
    from mlflow.entities import LoggedModelOutput

    experiment_id = _experiment_of(client, op, settings)
    # LoggedModel names forbid / : . % ' "
    logged_name = re.sub(r"[^A-Za-z0-9_-]", "_", op["name"].rpartition("/")[2])
    mlflow.set_tracking_uri(client.tracking_uri)
    model = mlflow.create_external_model(
        name=logged_name,
        source_run_id=op["run_id"],
        params=op["params"],
        tags=op["tags"],
        model_type="quantized-llm",
        experiment_id=experiment_id,
    )
    client.log_model_artifacts(model.model_id, str(bundle))
    if op["run_id"]:
        client.log_outputs(op["run_id"], [LoggedModelOutput(model.model_id, 0)])
        client.set_tag(op["run_id"], "qreg.reference", op["reference"])
    version = client.create_model_version(
        name,
        source=f"models:/{model.model_id}",
        run_id=op["run_id"],
        model_id=model.model_id,
        tags=op["tags"],
        description=op["description"][:MAX_DESCRIPTION],
        await_creation_for=0,
    )
    return str(version.version)


def _experiment_of(client: MlflowClient, op: dict[str, Any], settings: Settings) -> str:
    """The experiment of the run that made the artifact; without one, that of its base's name."""
    from mlflow.exceptions import MlflowException

    if not op["run_id"] and op["activity"]:  # MLflow was away when the run was made
        op["run_id"] = _run_of_activity(client, op)
    if op["run_id"]:
        try:
            return str(client.get_run(op["run_id"]).info.experiment_id)
        except MlflowException:
            op["run_id"] = None  # it was made under another tracking server
    return ensure_experiment(client, op["experiment"], settings)


def _run_of_activity(client: MlflowClient, op: dict[str, Any]) -> str | None:
    experiment = client.get_experiment_by_name(op["experiment"])
    if experiment is None:
        return None
    wanted = f"tags.`qreg.activity` = '{op['activity']}'"
    found = client.search_runs([experiment.experiment_id], filter_string=wanted, max_results=1)
    return str(found[0].info.run_id) if found else None
