"""Settings from the environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from registry.config import load


def test_defaults_follow_the_users_folders() -> None:
    settings = load({"HOME": "/home/u"})
    assert settings.data == Path("/home/u/.local/share/qreg")
    assert settings.cache == Path("/home/u/.cache/qreg")
    assert settings.registry == "file:///home/u/.local/share/qreg/registry"
    assert settings.embedded_tracking


def test_variables_win() -> None:
    settings = load(
        {
            "HOME": "/home/u",
            "XDG_CACHE_HOME": "/c",
            "QREG_DATA": "/d",
            "QREG_TOOLCHAINS": "/t",
            "QREG_REGISTRY": "file:///r",
            "MLFLOW_TRACKING_URI": "http://m:5000",
        }
    )
    assert (settings.data, settings.cache) == (Path("/d"), Path("/c/qreg"))
    assert (settings.toolchains, settings.registry) == (Path("/t"), "file:///r")
    assert settings.registry_uri == settings.tracking_uri == "http://m:5000"
    assert not settings.embedded_tracking


def test_a_password_in_the_tracking_uri_is_not_shown() -> None:
    settings = replace(load({"HOME": "/h"}), tracking_uri="https://user:secret@mlflow.example/x")
    assert settings.tracking_label == "https://mlflow.example/x"
