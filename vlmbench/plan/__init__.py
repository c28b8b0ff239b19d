"""Plans: specs become frozen cells, with their cost, before anything is loaded."""

from vlmbench.plan._most_failed import MostFailed
from vlmbench.plan._plan import Cell, Plan, Skipped, cell_key, make_plan
from vlmbench.plan._shards import Unit, units_of

__all__ = [
    "Cell",
    "MostFailed",
    "Plan",
    "Skipped",
    "Unit",
    "cell_key",
    "make_plan",
    "units_of",
]
