"""Running a plan: execution, records, manifest."""

from vlmbench.run._execute import check_tasks, execute
from vlmbench.run._settings import CheckedTask, Reporter, Settings

__all__ = [
    "CheckedTask",
    "Reporter",
    "Settings",
    "check_tasks",
    "execute",
]
