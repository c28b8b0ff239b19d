"""Recovering where markers were drawn: labelled rings in images become coordinates."""

from vlmbench.annotate._documents import (
    THRESHOLD,
    Annotation,
    annotate,
    annotate_document,
    annotations_file,
    check_replaceable,
    expected_labels,
    marked_documents,
    write_annotations,
)
from vlmbench.annotate._markers import Marker, find_markers
from vlmbench.annotate._sheet import write_sheets

__all__ = [
    "THRESHOLD",
    "Annotation",
    "Marker",
    "annotate",
    "annotate_document",
    "annotations_file",
    "check_replaceable",
    "expected_labels",
    "find_markers",
    "marked_documents",
    "write_annotations",
    "write_sheets",
]
