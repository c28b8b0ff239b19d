"""Model cards: what a run's records say about a model's use of its vision; no model is loaded.

Apart from the tables, because it brings scikit-learn and matplotlib.
"""

from vlmbench.report.cards._console import on_console
from vlmbench.report.cards._explanation import Explanation, TaskExplained, explain
from vlmbench.report.cards._folder import write_card
from vlmbench.report.cards._plots import save_difficulty

__all__ = ["Explanation", "TaskExplained", "explain", "on_console", "save_difficulty", "write_card"]
