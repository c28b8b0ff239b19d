"""The regions a task's YAML declares, read from a data row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from vlmbench.spec import BoxColumn, PointColumn, Regions, RegionSource, TaskSpec, WholeImages
from vlmbench.types import Problem, Region, VlmbenchError


def document_regions(
    spec: TaskSpec,
    row: Mapping[str, Any],
    n_choices: int,
    n_images: int,
    sizes: Sequence[tuple[int, int]] = (),
) -> tuple[Region | None, tuple[Region, ...]]:
    """Return a document's reference region and one region per choice.

    Args:
        spec: The task.
        row: Data row without images.
        n_choices: Choices of this document.
        n_images: Images of this document.
        sizes: Their (width, height), needed where a box is to be cut at the edges.

    Raises:
        VlmbenchError: If a column is missing, has the wrong shape or the wrong number of regions.
    """
    regions = spec.bench.regions
    if regions is None or (regions.missing == "skip" and _unknown(regions, row)):
        return None, ()
    reference = None
    if regions.reference is not None:
        found = _read(regions.reference, row, n_images, sizes, "reference")
        if len(found) != 1:
            raise _problem("reference", f"needs one region, has {len(found)}")
        reference = found[0]
    candidates = _read(regions.choices, row, n_images, sizes, "choices")
    if len(candidates) != n_choices:
        raise _problem("choices", f"has {len(candidates)} regions for {n_choices} choices")
    return reference, candidates


def _unknown(regions: Regions, row: Mapping[str, Any]) -> bool:
    """Tell whether a column that a region is read from holds null in this row."""
    places = (regions.reference, regions.choices)
    columns = [place.column for place in places if isinstance(place, PointColumn | BoxColumn)]
    return any(row.get(column, ...) is None for column in columns)


def _read(
    source: RegionSource,
    row: Mapping[str, Any],
    n_images: int,
    sizes: Sequence[tuple[int, int]],
    field: str,
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
            return _held(source, row[source.column], sizes, field)
        case never:
            assert_never(never)


def _held(
    source: PointColumn | BoxColumn, value: Any, sizes: Sequence[tuple[int, int]], field: str
) -> tuple[Region, ...]:
    """Return the regions of a cell, which holds one of them or a list."""
    try:
        rows = value if len(value) and isinstance(value[0], Sequence) else [value]
        if isinstance(source, BoxColumn) and source.clip:
            rows = [_cut(box, sizes[source.image], field) for box in rows]
        return tuple(
            Region(image=source.image, kind=source.kind, xy=tuple(float(v) for v in xy))
            for xy in rows
        )
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        message = f"column {source.column!r} holds {value!r}: {error}"
        raise _problem(field, message) from error


def _cut(box: Sequence[float], size: tuple[int, int], field: str) -> Sequence[float]:
    """Return the part of a box that lies in its image; a malformed one as it is."""
    if len(box) != 4:
        return box
    ends = (*size, *size)
    x0, y0, x1, y1 = (min(max(float(v), 0.0), float(end)) for v, end in zip(box, ends, strict=True))
    if x0 >= x1 or y0 >= y1:
        raise _problem(field, f"box {list(box)} lies outside its image of {size[0]} x {size[1]}")
    return x0, y0, x1, y1


def _problem(field: str, message: str) -> VlmbenchError:
    return VlmbenchError(Problem(field=f"metadata.vlmbench.regions.{field}", message=message))
