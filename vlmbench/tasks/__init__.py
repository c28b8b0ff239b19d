"""Tasks: YAML and data become documents."""

from vlmbench.tasks._conditions import apply_condition
from vlmbench.tasks._data import Role, open_split, split_name
from vlmbench.tasks._documents import (
    Documents,
    FitSplits,
    check_documents,
    load_documents,
    require_regions,
)
from vlmbench.tasks._lm_eval import shipped_task, task_over

__all__ = [
    "Documents",
    "FitSplits",
    "Role",
    "apply_condition",
    "check_documents",
    "load_documents",
    "open_split",
    "require_regions",
    "shipped_task",
    "split_name",
    "task_over",
]
