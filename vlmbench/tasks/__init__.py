"""Tasks: YAML and data become documents."""

from vlmbench.tasks._check import check_documents, require_regions
from vlmbench.tasks._clusters import clustered
from vlmbench.tasks._condition_sheet import condition_sheet
from vlmbench.tasks._conditions import apply_conditions, obstacle
from vlmbench.tasks._data import draw_ahead, drawing_processes, open_split, split_name
from vlmbench.tasks._documents import Documents, load_documents
from vlmbench.tasks._found import found
from vlmbench.tasks._lm_eval import Scored, scored, scored_row, task_over
from vlmbench.tasks._questions import ask, filler, listed_choices
from vlmbench.tasks._rules import FittedText, rule_scores
from vlmbench.tasks._wordings import order_obstacle

__all__ = [
    "Documents",
    "FittedText",
    "Scored",
    "apply_conditions",
    "ask",
    "check_documents",
    "clustered",
    "condition_sheet",
    "draw_ahead",
    "drawing_processes",
    "filler",
    "found",
    "listed_choices",
    "load_documents",
    "obstacle",
    "open_split",
    "order_obstacle",
    "require_regions",
    "rule_scores",
    "scored",
    "scored_row",
    "split_name",
    "task_over",
]
