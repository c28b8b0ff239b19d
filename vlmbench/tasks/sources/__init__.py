"""Published data on disk: where it is, and how its layouts become documents.

Importing this package loads neither `datasets` nor `h5py` nor scipy; reading a source does.
"""

from vlmbench.tasks.sources._places import (
    DATA_VARIABLE,
    copy_revisions,
    data_home,
    hub_copy,
    hub_remedy,
)
from vlmbench.tasks.sources._points import add_points, points_remedy
from vlmbench.tasks.sources._read import describe_source, read_source

__all__ = [
    "DATA_VARIABLE",
    "add_points",
    "copy_revisions",
    "data_home",
    "describe_source",
    "hub_copy",
    "hub_remedy",
    "points_remedy",
    "read_source",
]
