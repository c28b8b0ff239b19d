"""Published data on disk: where it is, and how its layouts become documents.

Importing this package loads neither `datasets` nor `h5py` nor scipy; reading a source does.
"""

from vlmbench.tasks.sources._annotations import markers_file, read_markers
from vlmbench.tasks.sources._places import (
    DATA_VARIABLE,
    below_home,
    copy_revisions,
    data_home,
    hub_copy,
    hub_remedy,
)
from vlmbench.tasks.sources._points import add_points, external_places, points_remedy
from vlmbench.tasks.sources._read import describe_source, read_source, source_folder

__all__ = [
    "DATA_VARIABLE",
    "add_points",
    "below_home",
    "copy_revisions",
    "data_home",
    "describe_source",
    "external_places",
    "hub_copy",
    "hub_remedy",
    "markers_file",
    "points_remedy",
    "read_markers",
    "read_source",
    "source_folder",
]
