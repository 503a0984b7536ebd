"""All checks, in the order in which their findings are told."""

from __future__ import annotations

from registry.lint.check import Check
from registry.lint.checks import (
    code,
    config,
    description,
    dtypes,
    files,
    layers,
    memory,
    mtp,
    programs,
    recipe,
    shards,
    sizes,
    structure,
    support,
)

CATALOGUE: tuple[Check, ...] = (
    *shards.CHECKS,
    *files.CHECKS,
    *programs.CHECKS,
    *description.CHECKS,
    *config.CHECKS,
    *code.CHECKS,
    *layers.CHECKS,
    *mtp.CHECKS,
    *structure.CHECKS,
    *sizes.CHECKS,
    *dtypes.CHECKS,
    *support.CHECKS,
    *recipe.CHECKS,
    *memory.CHECKS,
)
BY_ID = {check.id: check for check in CATALOGUE}
