"""Imported once by the process that children are forked from."""

from tests.faults.actions import preload

preload()
