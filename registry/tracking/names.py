"""What an artifact is called in MLflow's model registry."""

from __future__ import annotations


def model_name(name: str) -> str:
    """ORG/NAME as a registered model's name, which may hold no slash: `ORG--NAME`."""
    return name.replace("/", "--")
