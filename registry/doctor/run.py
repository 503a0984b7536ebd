"""What there is to look at on the registry's side."""

from __future__ import annotations

from collections.abc import Iterator

from registry.config import Settings
from registry.doctor import machine, services
from registry.doctor.asking import Clocks
from registry.doctor.check import UNKNOWN, Check, Look, run_looks

_SERVICE_PATIENCE = 8.0  # seconds; importing boto3 or ModelScope's library is among it


def registry_looks(settings: Settings) -> tuple[Look, ...]:
    """Libraries, folders, services and the clock; services are looked at side by side."""
    return (
        Look("libraries", machine.libraries),
        Look("folders", lambda: machine.folders(settings)),
        Look("services", lambda: _services(settings)),
    )


def _services(settings: Settings) -> Iterator[Check]:
    if settings.offline:
        yield Check("services", UNKNOWN, "No service is asked: QREG_OFFLINE is set", "Unset it.")
        return
    clocks = Clocks()
    places = tuple(dict.fromkeys((settings.registry, *settings.sources)))
    buckets = tuple(url for url in places if url.startswith("s3://"))
    looks = [Look("mlflow", lambda: services.mlflow(settings, clocks))]
    if "ms://" in places:
        looks.append(Look("modelscope", lambda: services.modelscope(clocks)))
    if "hf://" in places:
        looks.append(Look("huggingface", lambda: services.hugging_face(clocks)))
    if buckets:
        looks.append(Look("s3", lambda: services.s3(buckets, clocks)))
    yield from run_looks(looks, _SERVICE_PATIENCE)
    yield machine.clock(clocks.offsets)
