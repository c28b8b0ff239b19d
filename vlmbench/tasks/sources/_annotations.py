"""Marker positions recovered by `vlmbench annotate`, joined to documents by their id.

The file is JSONL, one row per marker: `doc_id`, `image` (index into the document's images, from
0), `label` (`REF`, `A`, `B`, ...), `x`, `y` (pixels, top-left origin) and `confidence` in [0, 1].
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmbench.spec import BoxColumn, Located, MarkerPoints, PointColumn, TaskSpec, doc_choices
from vlmbench.tasks.sources._places import below_home
from vlmbench.types import Problem, VlmbenchError

if TYPE_CHECKING:
    from datasets import Dataset

LETTERS = "ABCDEFGHIJ"
_FARTHEST = 1e9  # pixels, in either direction
FIELDS = {"doc_id": str, "image": int, "label": str, "x": float, "y": float, "confidence": float}

Markers = dict[str, dict[tuple[int, str], list[float]]]
"""doc_id -> (image, label) -> [x, y]."""


def markers_file(points: MarkerPoints) -> Path:
    """Return where the markers of a task are kept."""
    return below_home(points.file, "annotations")


def add_annotations(
    task: Located[TaskSpec], points: MarkerPoints, dataset: Dataset, doc_ids: list[str]
) -> Dataset:
    """Return the data with `points_reference` and `points_choices` from recovered markers.

    A document has coordinates only if REF (where the task has a reference) and every letter were
    recovered, each in the image that the task's regions name and each with at least
    `min_confidence`; otherwise both columns are null.
    """
    from datasets import List, Value

    path = markers_file(points)
    markers = read_markers(path, points.min_confidence) if path.is_file() else {}
    strangers = sorted(set(markers) - set(doc_ids))
    if strangers and not set(markers) & set(doc_ids):
        message = f"none of its documents belongs to this task, such as {doc_ids[0]!r}"
        remedy = f"It has {strangers[0]!r}: annotate this task's data again."
        raise VlmbenchError(Problem(file=str(path), message=message, remedy=remedy))
    plain = dataset.select_columns([c for c in dataset.column_names if not _image(dataset, c)])
    found = [
        _places(task.spec, row, markers.get(doc_id, {}))
        for row, doc_id in zip(plain, doc_ids, strict=True)
    ]
    references, choices = [pair[0] for pair in found], [pair[1] for pair in found]
    point = List(Value("float64"))
    dataset = dataset.add_column("points_reference", references, feature=point)
    return dataset.add_column("points_choices", choices, feature=List(point))


def _image(dataset: Dataset, column: str) -> bool:
    from datasets import Image, List

    feature = dataset.features[column]
    inner = feature.feature if isinstance(feature, List) else feature
    return isinstance(inner, Image)


def _places(
    spec: TaskSpec, row: dict[str, Any], markers: dict[tuple[int, str], list[float]]
) -> tuple[list[float] | None, list[list[float]] | None]:
    """Return a document's reference and choices, or None for both if one is missing."""
    regions = spec.bench.regions
    assert regions is not None, "checked with the spec"
    assert isinstance(regions.choices, PointColumn | BoxColumn), "checked with the spec"
    letters = LETTERS[: len(doc_choices(spec, row))]
    choices = [markers.get((regions.choices.image, letter)) for letter in letters]
    wanted: list[list[float] | None] = list(choices)
    reference = None
    if isinstance(regions.reference, PointColumn):
        reference = markers.get((regions.reference.image, "REF"))
        wanted.append(reference)
    if any(place is None for place in wanted):
        return None, None
    return reference, [place for place in choices if place is not None]


def read_markers(path: Path, min_confidence: float) -> Markers:
    """Return the markers of a file that are certain enough.

    Raises:
        VlmbenchError: For every line that is not a marker, or gives a document's marker twice.
    """
    markers: Markers = {}
    seen: set[tuple[str, int, str]] = set()
    problems: list[Problem] = []
    for line, row in _rows(path, problems):
        key = (row["doc_id"], row["image"], row["label"])
        if key in seen:
            message = f"document {key[0]!r} has the marker {key[2]} of image {key[1]} twice"
            problems.append(Problem(file=str(path), line=line, message=message))
        seen.add(key)
        if row["confidence"] >= min_confidence:
            place = [float(row["x"]), float(row["y"])]
            markers.setdefault(key[0], {})[key[1], key[2]] = place
    if problems:
        raise VlmbenchError(problems[:20])
    return markers


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, marker) of a JSONL file, noting lines that are not markers."""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            problems.append(
                Problem(file=str(path), line=number, message=f"not valid JSON: {error}")
            )
            continue
        wrong = [name for name, kind in FIELDS.items() if not _is(row, name, kind)]
        if wrong:
            message = f"{', '.join(wrong)} missing or of the wrong type"
            remedy = f"A marker has {', '.join(FIELDS)}."
            problems.append(Problem(file=str(path), line=number, message=message, remedy=remedy))
            continue
        yield number, row


def _is(row: Any, name: str, kind: type) -> bool:
    value = row.get(name) if isinstance(row, dict) else None
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return -_FARTHEST < value < _FARTHEST  # neither NaN nor infinite
    return isinstance(value, kind) and not isinstance(value, bool)
