"""Coordinates that a data set itself lacks, joined from elsewhere as columns of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from vlmbench.spec import Located, MarkerPoints, TaskSpec, VpBenchPoints
from vlmbench.tasks.sources._annotations import add_annotations, markers_file
from vlmbench.tasks.sources._places import below_home, hub_remedy
from vlmbench.tasks.sources._vpbench import add_vpbench

if TYPE_CHECKING:
    from datasets import Dataset


def add_points(task: Located[TaskSpec], dataset: Dataset, doc_ids: list[str]) -> Dataset:
    """Return the data with the columns `points_reference` and `points_choices`.

    `points_reference` is [x, y] or null, `points_choices` a list of [x, y], one per choice, or
    null: pixels of the encoder's images. A document whose coordinates are not known keeps null
    in both. VPBench brings its unmarked pictures too, as `unmarked_1` (and `unmarked_2`).
    If a source is not on this machine, everything is null; `points_remedy` says how to get it.

    Args:
        task: The task; the data is returned unchanged if its YAML has no `points`.
        dataset: Rows, images undecoded.
        doc_ids: Their document ids, in order.

    Raises:
        VlmbenchError: If the source is there but unsound.
    """
    points = task.spec.bench.points
    match points:
        case None:
            return dataset
        case VpBenchPoints():
            return add_vpbench(points, dataset)
        case MarkerPoints():
            return add_annotations(task, points, dataset, doc_ids)
        case never:
            assert_never(never)


def external_places(spec: TaskSpec) -> Iterator[tuple[str, Path]]:
    """Yield the files and folders of other data that a task names, by the field that does."""
    reader, points = spec.bench.reader, spec.bench.points
    if reader is not None and reader.root is not None:
        yield "metadata.vlmbench.reader.root", below_home(reader.root)
    if isinstance(points, VpBenchPoints):
        yield "metadata.vlmbench.points.root", below_home(points.root)
    if isinstance(points, MarkerPoints):
        yield "metadata.vlmbench.points.file", markers_file(points)


def points_remedy(task: Located[TaskSpec]) -> str:
    """Return how to get the coordinates of a task whose documents have none."""
    points = task.spec.bench.points
    match points:
        case None:
            return "Fill the columns that `metadata.vlmbench.regions` names."
        case VpBenchPoints():
            place = below_home(points.root)
            found = f"It is looked for at {place}."
            return f"{hub_remedy('longlian/VPBench')}\n    {found}"
        case MarkerPoints():
            place = markers_file(points)
            return f"vlmbench annotate {task.spec.task}\n    It writes, and this reads, {place}."
        case never:
            assert_never(never)
