"""The named steps of a mapping table's `transform` column: what each does to a value that is no blank.

Leaves lengths and types to the target column. Source: design part 4.
"""

from __future__ import annotations

from dynamics.core.mapping.transforms import moments, texts, values  # enter their steps
from dynamics.core.mapping.transforms.endings import CHOICE, CHOICES, ENDINGS, LOOKUP, TRUNCATE
from dynamics.core.mapping.transforms.registry import (
    REGISTRY,
    BadArgumentError,
    Step,
    ValueTables,
    build_step,
)

__all__ = [
    "CHOICE",
    "CHOICES",
    "ENDINGS",
    "LOOKUP",
    "REGISTRY",
    "STEP_NAMES",
    "TRUNCATE",
    "BadArgumentError",
    "Step",
    "ValueTables",
    "build_step",
    "moments",
    "texts",
    "values",
]

STEP_NAMES = (*REGISTRY, *ENDINGS)
