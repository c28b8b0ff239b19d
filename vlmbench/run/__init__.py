"""Running a plan: execution, records, manifest."""

from vlmbench.run._check import check_tasks
from vlmbench.run._execute import execute
from vlmbench.run._settings import CheckedTask, Cluster, Reporter, Settings

__all__ = [
    "CheckedTask",
    "Cluster",
    "Reporter",
    "Settings",
    "check_tasks",
    "execute",
]
