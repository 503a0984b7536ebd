"""Bytes over HTTP: ranges down, files up, patience with what passes by itself."""

from registry.transport.http import Transport
from registry.transport.retry import Patience, patiently
from registry.transport.stream import Stream

__all__ = ["Patience", "Stream", "Transport", "patiently"]
