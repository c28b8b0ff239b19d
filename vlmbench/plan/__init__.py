"""Plans: specs become frozen cells, with their cost, before anything is loaded."""

from vlmbench.plan._plan import Cell, Plan, Skipped, cell_key, make_plan

__all__ = ["Cell", "Plan", "Skipped", "cell_key", "make_plan"]
