"""DA-2K: photographs with pairs of points, one of which is closer to the camera.

Layout [D] (Yang et al., arXiv 2406.09414, https://huggingface.co/datasets/depth-anything/DA-2K):
`annotations.json` maps an image path, relative to that file, to a list of
`{"point1": [h, w], "point2": [h, w], "closer_point": "point1"}`: row first, then column. The
release always names `point1`; here the letters are dealt evenly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vlmbench.tasks.sources._items import (
    Item,
    Layout,
    Point,
    clipped,
    inside,
    open_picture,
    picture_size,
)
from vlmbench.tasks.sources._places import named, require
from vlmbench.types import Problem, VlmbenchError

POINTS = ("point1", "point2")


def _items(root: Path, split: str, rng: np.random.Generator) -> Iterator[Item]:
    """Yield every annotated pair of every picture, in random order."""
    file = require(root / "annotations.json", f"the annotation of split {split!r}", "")
    annotations: dict[str, list[dict[str, Any]]] = json.loads(file.read_text(encoding="utf-8"))
    pairs = [(name, i) for name in sorted(annotations) for i in range(len(annotations[name]))]
    for index in rng.permutation(len(pairs)):
        name, number = pairs[index]
        yield _item(file, name, number, annotations[name][number])


def _item(file: Path, name: str, number: int, pair: dict[str, Any]) -> Item:
    picture = named(file.parent, name, what="a picture of annotations.json")
    closer = pair.get("closer_point")
    if closer not in POINTS:
        message = f"{name}, pair {number}: closer_point is {closer!r}"
        raise VlmbenchError(Problem(file=str(file), message=message))
    size = picture_size(picture)
    farther = POINTS[1 - POINTS.index(closer)]
    places = tuple(_point(pair[which]) for which in (closer, farther))
    for point in places:
        if not inside(point, size, slack=1.0):
            message = f"{name}, pair {number}: {point} lies outside {size[0]} x {size[1]} pixels"
            raise VlmbenchError(Problem(file=str(file), message=message))
    return Item(
        name=f"{name.rpartition('.')[0].replace('/', '_')}-{number}",
        pictures=(partial(open_picture, picture),),
        candidates=tuple(clipped(point, size) for point in places),
        facts={"picture": name},
    )


def _point(row_column: list[float]) -> Point:
    row, column = row_column
    return float(column), float(row)


DA2K = Layout(
    folder="DA-2K",
    remedy=(
        'hf download depth-anything/DA-2K --repo-type dataset --local-dir "{home}"\n'
        '    unzip "{home}/DA-2K.zip" -d "{home}"\n'
        "    (annotations.json and images/ are looked for at {root})"
    ),
    splits=("test",),
    n_pictures=1,
    n_choices=2,
    facts=("picture",),
    items=_items,
)
