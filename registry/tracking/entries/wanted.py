"""Which entry of MLflow's model registry is looked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """One version of a registered model, by its number or by an alias.

    Attributes:
        model: the registered model's name.
        version: the number's digits; empty for an alias.
        alias: such as `current`; empty for a number. `latest` is the highest version, as in MLflow.
    """

    model: str
    version: str = ""
    alias: str = ""
