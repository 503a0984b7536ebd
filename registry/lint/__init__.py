"""Lint: one small function a check, each tied to the failure that it prevents."""

from registry.lint.check import Check
from registry.lint.run import lint, lint_facts
from registry.lint.target import CHIPS, Target

__all__ = ["CHIPS", "Check", "Target", "lint", "lint_facts"]
