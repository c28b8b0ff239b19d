"""Plans: specs become frozen cells, with their cost, before anything is loaded."""

from vlmbench.plan._most_failed import MostFailed
from vlmbench.plan._plan import Cell, Plan, Skipped, cell_key, make_plan

__all__ = ["Cell", "MostFailed", "Plan", "Skipped", "cell_key", "make_plan"]
