"""FunKPoint: photographs of tools and objects with five key points for what one can do with them.

The original release (Lai, Purushwalkam, Gupta, arXiv 2109.01097,
https://agi-labs.github.io/FuncCorr) is given out by its authors; its own annotation file could
not be inspected. What is read here is the layout of a public re-release [D],
https://github.com/Qifei-C/funkpoint_curated_dataset: `all_samples.csv` with the columns `action`,
`object_category`, `dataset_image_path` and `p1_x, p1_y .. p5_x, p5_y`, points as fractions of width
and height. The original serves as well once it is written down with these columns.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from vlmbench.tasks.sources._items import (
    Item,
    Layout,
    Point,
    apart,
    clipped,
    open_picture,
    picture_size,
)
from vlmbench.tasks.sources._places import named, require
from vlmbench.types import Problem, VlmbenchError

FILE = "all_samples.csv"
N_POINTS = 5
N_CHOICES = 4
POINT_COLUMNS = tuple(f"p{i}_{axis}" for i in range(1, N_POINTS + 1) for axis in "xy")
COLUMNS = ("action", "object_category", "dataset_image_path", *POINT_COLUMNS)
# Candidates nearer to each other than this share of the longer side would share a ring.
APART = 0.05

Sample = dict[str, str]


def _items(root: Path, split: str, rng: np.random.Generator) -> Iterator[Item]:
    """Yield pairs of one action and two categories in random order, each pair once.

    Which pairs and which four of the five points BLINK took is not published: ours are random,
    of different categories (what the data set is about), the four at least 5% apart.
    """
    samples = _samples(require(root / FILE, f"the annotation of split {split!r}", ""))
    pairs = [
        (a, b)
        for a in range(len(samples))
        for b in range(len(samples))
        if samples[a]["action"] == samples[b]["action"]
        and samples[a]["object_category"] != samples[b]["object_category"]
    ]
    for index in rng.permutation(len(pairs)):
        first, second = pairs[index]
        item = _item(root, samples[first], samples[second], rng)
        if item is not None:
            yield item


def _samples(file: Path) -> list[Sample]:
    """Return the rows of the annotation; raises VlmbenchError if it lacks a column."""
    with file.open(encoding="utf-8", newline="") as lines:
        table = csv.DictReader(lines)
        lacking = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if lacking:
            message = f"no column {', '.join(lacking)}"
            raise VlmbenchError(Problem(file=str(file), message=message))
        return list(table)


def _item(root: Path, first: Sample, second: Sample, rng: np.random.Generator) -> Item | None:
    """Return the item of one pair, or None if no four points are apart."""
    what = f"a picture of {FILE}"
    paths = [named(root, sample["dataset_image_path"], what=what) for sample in (first, second)]
    sizes = [picture_size(path) for path in paths]
    sources, targets = (
        _points(sample, size) for sample, size in zip((first, second), sizes, strict=True)
    )
    for left_out in rng.permutation(N_POINTS):
        kept = [int(i) for i in rng.permutation(N_POINTS) if i != left_out]
        candidates = tuple(targets[i] for i in kept)
        if apart(candidates, APART * max(sizes[1])):
            names = [Path(sample["dataset_image_path"]).stem for sample in (first, second)]
            return Item(
                name=f"{first['action']}-{names[0]}-{names[1]}".replace("/", "_"),
                pictures=(partial(open_picture, paths[0]), partial(open_picture, paths[1])),
                reference=sources[kept[0]],
                candidates=candidates,
                facts={"action": first["action"]},
            )
    return None


def _points(sample: Sample, size: tuple[int, int]) -> list[Point]:
    """Return the five points in pixels. A fraction counts from edge to edge of the picture."""
    fractions = np.array([float(sample[name]) for name in POINT_COLUMNS]).reshape(N_POINTS, 2)
    at = fractions * np.array(size) - 0.5
    return [clipped((float(x), float(y)), size) for x, y in at]


FUNKPOINT = Layout(
    folder="funkpoint_curated_dataset",
    remedy=(
        "git clone https://github.com/Qifei-C/funkpoint_curated_dataset "
        '"{home}/funkpoint_curated_dataset"\n'
        "    (or ask the authors for FunKPoint, https://agi-labs.github.io/FuncCorr, and write its "
        "annotation as all_samples.csv; it is looked for at {root})"
    ),
    splits=("test",),
    n_pictures=2,
    n_choices=N_CHOICES,
    facts=("action",),
    items=_items,
)
