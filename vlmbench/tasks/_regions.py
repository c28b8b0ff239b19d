"""The regions a task's YAML declares, read from a data row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from vlmbench.spec import BoxColumn, PointColumn, RegionSource, TaskSpec, WholeImages
from vlmbench.types import Problem, Region, VlmbenchError


def document_regions(
    spec: TaskSpec, row: Mapping[str, Any], n_choices: int, n_images: int
) -> tuple[Region | None, tuple[Region, ...]]:
    """Return a document's reference region and one region per choice.

    Args:
        spec: The task.
        row: Data row without images.
        n_choices: Choices of this document.
        n_images: Images of this document.

    Raises:
        VlmbenchError: If a column is missing, has the wrong shape or the wrong number of regions.
    """
    regions = spec.bench.regions
    if regions is None:
        return None, ()
    reference = None
    if regions.reference is not None:
        found = _read(regions.reference, row, n_images, "reference")
        if len(found) != 1:
            raise _problem("reference", f"needs one region, has {len(found)}")
        reference = found[0]
    candidates = _read(regions.choices, row, n_images, "choices")
    if len(candidates) != n_choices:
        raise _problem("choices", f"has {len(candidates)} regions for {n_choices} choices")
    return reference, candidates


def _read(
    source: RegionSource, row: Mapping[str, Any], n_images: int, field: str
) -> tuple[Region, ...]:
    match source:
        case WholeImages(images=images):
            # Documents with fewer images (three of MOCHI's four) have fewer whole images.
            return tuple(Region(image=i, kind="image") for i in images if i < n_images)
        case PointColumn() | BoxColumn():
            if source.column not in row:
                raise _problem(field, f"the data has no column {source.column!r}")
            if source.image >= n_images:
                raise _problem(field, f"image {source.image} of {n_images} does not exist")
            value = row[source.column]
            nested = bool(value) and isinstance(value[0], Sequence)
            rows = value if nested else [value]
            return tuple(_region(source, xy, field) for xy in rows)
        case never:
            assert_never(never)


def _region(source: PointColumn | BoxColumn, xy: Sequence[float], field: str) -> Region:
    try:
        return Region(image=source.image, kind=source.kind, xy=tuple(float(v) for v in xy))
    except (TypeError, ValueError) as error:
        raise _problem(field, f"column {source.column!r} holds {xy!r}: {error}") from error


def _problem(field: str, message: str) -> VlmbenchError:
    return VlmbenchError(Problem(field=f"metadata.vlmbench.regions.{field}", message=message))
