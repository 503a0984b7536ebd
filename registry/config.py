"""Where qreg keeps its things and which services it talks to.

Everything comes from the environment, so that a container or a pipeline needs no file:

    QREG_DATA              data folder        (default: $XDG_DATA_HOME/qreg)
    QREG_CACHE             cache folder       (default: $XDG_CACHE_HOME/qreg)
    QREG_TOOLCHAINS        toolchains         (default: QREG_DATA/toolchains)
    QREG_REGISTRY          default registry   (default: file://QREG_DATA/registry)
    QREG_SOURCES           where ORG/NAME is looked for, and what a pull falls back to, in order
                           (default: the registry, ms://, hf://, models:/; separated by commas)
    QREG_OFFLINE           1: nothing but this machine is asked
    QREG_ALLOW_FALLBACK    1: a name may be taken from the next source where an earlier one, of
                           your own, does not answer
    MLFLOW_TRACKING_URI    tracking server    (default: a SQLite file in QREG_DATA/mlflow)
    MLFLOW_REGISTRY_URI    model registry     (default: the tracking server)
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """Folders and services of one user, all absolute paths or URIs.

    Attributes:
        offline: nothing but this machine is asked.
        allow_fallback: a name may be taken from the next source where an earlier one, of the
            user's own, could not be asked.
    """

    data: Path
    cache: Path
    toolchains: Path
    registry: str
    tracking_uri: str
    registry_uri: str
    sources: tuple[str, ...] = ()
    offline: bool = False
    allow_fallback: bool = False

    @property
    def outputs(self) -> Path:
        """Artifacts that `qreg quantize` wrote without `--output`."""
        return self.data / "outputs"

    @property
    def activities(self) -> Path:
        """Journals of tracked work, kept until MLflow has them."""
        return self.data / "activities"

    @property
    def mlflow(self) -> Path:
        """The embedded MLflow: database and artifacts."""
        return self.data / "mlflow"

    @property
    def logs(self) -> Path:
        """Logs of engines."""
        return self.data / "logs"

    def new_log(self, what: str) -> Path:
        """A log file of its own for one process, `WHAT-DATE-TIME-RANDOM.log`."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return self.logs / f"{what.replace('/', '--')}-{stamp}-{secrets.token_hex(3)}.log"

    @property
    def tracking_label(self) -> str:
        """The tracking server for messages, without a password that its URI may hold."""
        return _label(self.tracking_uri)

    @property
    def registry_label(self) -> str:
        """The same for MLflow's model registry."""
        return _label(self.registry_uri)

    @property
    def embedded_tracking(self) -> bool:
        """Whether MLflow is the embedded default and not a server of the user's."""
        return self.tracking_uri == _embedded_uri(self.mlflow)

    @property
    def embedded_registry(self) -> bool:
        """Whether MLflow's model registry is the one in the data folder."""
        return self.registry_uri == _embedded_uri(self.mlflow)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ` (default: the process's environment)."""
    env = os.environ if environ is None else environ
    home = Path(env.get("HOME") or Path.home())
    data = _folder(env, "QREG_DATA", "XDG_DATA_HOME", home / ".local" / "share")
    cache = _folder(env, "QREG_CACHE", "XDG_CACHE_HOME", home / ".cache")
    toolchains = Path(env.get("QREG_TOOLCHAINS") or data / "toolchains").expanduser().absolute()
    registry = env.get("QREG_REGISTRY") or f"file://{data / 'registry'}"
    sources = [s.strip() for s in env.get("QREG_SOURCES", "").split(",") if s.strip()]
    tracking = env.get("MLFLOW_TRACKING_URI") or _embedded_uri(_plain(data) / "mlflow")
    return Settings(
        data=data,
        cache=cache,
        toolchains=toolchains,
        registry=registry,
        tracking_uri=tracking,
        registry_uri=env.get("MLFLOW_REGISTRY_URI") or tracking,
        sources=tuple(sources) or (registry, "ms://", "hf://", "models:/"),
        offline=_is_set(env, "QREG_OFFLINE"),
        allow_fallback=_is_set(env, "QREG_ALLOW_FALLBACK"),
    )


def _is_set(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "") not in ("", "0", "false", "no")


def _folder(env: Mapping[str, str], ours: str, xdg: str, default: Path) -> Path:
    if env.get(ours):
        return Path(env[ours]).expanduser().absolute()
    return Path(env.get(xdg) or default).expanduser().absolute() / "qreg"


def _plain(data: Path) -> Path:
    """The data folder, if it can be the place of a database that is named by a URI.

    SQLite's URI ends at a '?', MLflow's server ends it at a '#', and SQLAlchemy from 2.1 on decodes
    '%': the database would be made elsewhere, and nobody would find it.
    """
    mark = next((mark for mark in "?#%" if mark in str(data)), "")
    if mark:
        raise UsageError(
            f"The data folder {data} has a '{mark}' in its path, which MLflow's database cannot be "
            "kept below",
            remedy="Set QREG_DATA to a folder without one, or MLFLOW_TRACKING_URI to a server.",
        )
    return data


def _label(uri: str) -> str:
    # A database's password may hold a slash.
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _embedded_uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"
