"""The words everything else is written in: documents, scores, stats and errors.

This package imports nothing of vlmbench and neither torch nor datasets.
"""

from vlmbench.types._attention import PARTS, WHOLE, WINDOWS, Attention, Part
from vlmbench.types._document import Asked, Document, Region, clusters_of
from vlmbench.types._errors import ComparisonError, DocumentError, Problem, VlmbenchError, reason
from vlmbench.types._extras import DISTRIBUTION, require_extra
from vlmbench.types._image import ChangedImage, EncodedImage
from vlmbench.types._internals import GROUPS, Group, Internals
from vlmbench.types._json import parse_json
from vlmbench.types._names import file_name
from vlmbench.types._picture import DECODE_VERSION, opened, shown
from vlmbench.types._plain import one_line, plain
from vlmbench.types._scores import ChoiceScores, Scale, why_unusable
from vlmbench.types._stages import StageScores
from vlmbench.types._stat import Stat

__all__ = [
    "DECODE_VERSION",
    "DISTRIBUTION",
    "GROUPS",
    "PARTS",
    "WHOLE",
    "WINDOWS",
    "Asked",
    "Attention",
    "ChangedImage",
    "ChoiceScores",
    "ComparisonError",
    "Document",
    "DocumentError",
    "EncodedImage",
    "Group",
    "Internals",
    "Part",
    "Problem",
    "Region",
    "Scale",
    "StageScores",
    "Stat",
    "VlmbenchError",
    "clusters_of",
    "file_name",
    "one_line",
    "opened",
    "parse_json",
    "plain",
    "reason",
    "require_extra",
    "shown",
    "why_unusable",
]
