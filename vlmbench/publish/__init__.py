"""Publishing: finished runs in the formats that other tools read; no model is loaded.

What a run's records hold exactly is written exactly. A document that failed stands in no sample
as a wrong answer: where a format can only say right or wrong, it is left out and counted.
"""

from vlmbench.publish._every_eval_ever import every_eval_ever
from vlmbench.publish._facts import Facts, models_of
from vlmbench.publish._hub import HubFiles, hub_files, upload
from vlmbench.publish._inspect import export_inspect

__all__ = [
    "Facts",
    "HubFiles",
    "every_eval_ever",
    "export_inspect",
    "hub_files",
    "models_of",
    "upload",
]
