"""Model cards: what a run's records say about a model's use of its vision; no model is loaded.

Apart from the tables, because it brings scikit-learn and matplotlib.
"""

from vlmbench.report.cards._card import criteria_table, thresholds_table
from vlmbench.report.cards._console import on_console
from vlmbench.report.cards._explanation import Explanation, TaskExplained, explain
from vlmbench.report.cards._folder import write_card
from vlmbench.report.cards._plots import HOW_TO_READ, panels, plots, save, save_difficulty

__all__ = [
    "HOW_TO_READ",
    "Explanation",
    "TaskExplained",
    "criteria_table",
    "explain",
    "on_console",
    "panels",
    "plots",
    "save",
    "save_difficulty",
    "thresholds_table",
    "write_card",
]
