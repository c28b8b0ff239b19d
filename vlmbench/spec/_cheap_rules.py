"""Cheap rules by name: what each of them looks at, and so which tasks it can answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from vlmbench.spec._task import PointColumn, TaskSpec, WholeImages

RuleName = Literal[
    "first_choice",
    "longest_choice",
    "text",
    "lower_point",
    "central_point",
    "nearest_position",
    "patch_correlation",
    "patch_colour",
    "colour_histogram",
    "thumbnail",
]
"""Cheap rules: answers that do not use the features of any encoder."""

LooksAt = Literal["choices", "training", "points", "reference", "images"]

CHEAP_RULES: Mapping[RuleName, LooksAt] = MappingProxyType(
    {
        "first_choice": "choices",
        "longest_choice": "choices",
        "text": "training",
        "lower_point": "points",
        "central_point": "points",
        "nearest_position": "reference",
        "patch_correlation": "reference",
        "patch_colour": "reference",
        "colour_histogram": "images",
        "thumbnail": "images",
    }
)
"""What each rule looks at."""

_LACKING: Mapping[LooksAt, str] = MappingProxyType(
    {
        "training": "learns from a training split, and the task has none",
        "points": "compares points, and the task's choices are not points",
        "reference": "compares points with a reference point, and the task has no such points",
        "images": "compares whole images, and the task's choices are not images",
    }
)


def rule_obstacle(rule: RuleName, task: TaskSpec) -> str | None:
    """Return why a rule does not apply to a task, or None if it does."""
    if task.is_free_text:
        return f"rule {rule!r} compares choices, and free text has none"
    regions = task.bench.regions
    points = regions is not None and isinstance(regions.choices, PointColumn)
    held: dict[LooksAt, bool] = {
        "choices": True,
        "training": task.training_split is not None,
        "points": points,
        "reference": points and regions is not None and isinstance(regions.reference, PointColumn),
        "images": regions is not None and isinstance(regions.choices, WholeImages),
    }
    looks_at = CHEAP_RULES[rule]
    return None if held[looks_at] else f"rule {rule!r} {_LACKING[looks_at]}"
