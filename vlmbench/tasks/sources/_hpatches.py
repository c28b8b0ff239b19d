"""HPatches: sequences of six photographs, the first mapped to the others by homographies.

Layout [D] (Balntas et al., CVPR 2017, https://github.com/hpatches/hpatches-dataset): folders
`i_*` (illumination changes) and `v_*` (viewpoint changes) with `1.ppm` .. `6.ppm` and text files
`H_1_2` .. `H_1_6` of 3 x 3 numbers, which map pixels (x, y, 1) of image 1 to image k.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmbench.tasks.sources._items import (
    Item,
    Layout,
    Point,
    inside,
    open_picture,
    picture_size,
)
from vlmbench.tasks.sources._places import require
from vlmbench.types import Problem, VlmbenchError

N_CHOICES = 4
# Candidates are at least this share of the longer side apart, and off the edge by a fifth of it.
APART = 0.1
MARGIN = 0.02
# Corners are looked for in a copy of at most this longest side, which is fast and keeps them
# coarse enough to be seen.
CORNER_SIDE = 320
MOST_CORNERS = 400


def _items(root: Path, split: str, rng: np.random.Generator) -> Iterator[Item]:
    """Yield (sequence, k) pairs in random order, every sequence once before any comes twice.

    How BLINK chose its points is not published. Ours are corners of image 1 (Shi and Tomasi's
    measure) that the homography maps into image k: one is REF, and the images of three others
    are the wrong candidates, so that all four are equally conspicuous.
    """
    sequences = sorted(
        path for path in root.iterdir() if path.is_dir() and path.name[:2] in ("i_", "v_")
    )
    if not sequences:
        message = f"no sequence `i_*` or `v_*` for split {split!r}"
        raise VlmbenchError(Problem(file=str(root), message=message))
    targets = [rng.permutation(np.arange(2, 7)) for _ in sequences]
    for turn in range(5):
        for index in rng.permutation(len(sequences)):
            item = _item(sequences[index], int(targets[index][turn]), rng)
            if item is not None:
                yield item


def _item(sequence: Path, k: int, rng: np.random.Generator) -> Item | None:
    """Return the item of one pair, or None if fewer than four corners map well apart."""
    first = require(sequence / "1.ppm", "the first picture", "")
    other = require(sequence / f"{k}.ppm", "a picture", "")
    homography = read_homography(require(sequence / f"H_1_{k}", "a homography", ""))
    size = picture_size(other)
    found = corners(open_picture(first))
    found = found[rng.permutation(len(found))]
    mapped = project(homography, found)
    chosen: list[int] = []
    for index, point in enumerate(mapped):
        if not _well_inside(point, size):
            continue
        gaps = [np.hypot(*(mapped[i] - point)) for i in chosen]
        if all(gap >= APART * max(size) for gap in gaps):
            chosen.append(index)
        if len(chosen) == N_CHOICES:
            return Item(
                name=f"{sequence.name}-{k}",
                pictures=(partial(open_picture, first), partial(open_picture, other)),
                reference=_pair(found[chosen[0]]),
                candidates=tuple(_pair(mapped[i]) for i in chosen),
                facts={
                    "change": "illumination" if sequence.name[0] == "i" else "viewpoint",
                    "sequence": sequence.name,
                },
            )
    return None


def read_homography(path: Path) -> NDArray[np.float64]:
    """Return the (3, 3) matrix in a text file; raises VlmbenchError if it holds another shape."""
    try:
        matrix = np.loadtxt(path, dtype=np.float64)
    except ValueError as error:
        raise VlmbenchError(
            Problem(file=str(path), message=f"not a homography: {error}")
        ) from error
    if matrix.shape != (3, 3):
        message = f"a homography has 3 x 3 numbers, and this file has {matrix.shape}"
        raise VlmbenchError(Problem(file=str(path), message=message))
    return matrix


def project(homography: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 2) points mapped by a homography; NaN for those behind the camera."""
    lifted = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ homography.T
    depth = np.where(lifted[:, 2:] > 0, lifted[:, 2:], np.nan)
    return np.asarray(lifted[:, :2] / depth)


def corners(picture: Image.Image) -> NDArray[np.float64]:
    """Return (n, 2) corners (x, y) of a picture in its pixels, strongest first."""
    from skimage.feature import corner_peaks, corner_shi_tomasi

    scale = min(1.0, CORNER_SIDE / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    grey = np.asarray(picture.convert("L").resize(size), dtype=np.float64) / 255
    peaks = corner_peaks(
        corner_shi_tomasi(grey, sigma=2), min_distance=5, threshold_rel=0.02, num_peaks=MOST_CORNERS
    )
    at = (peaks[:, ::-1] + 0.5) * np.array(picture.size) / np.array(size) - 0.5
    return np.asarray(at, dtype=np.float64)


def _well_inside(point: NDArray[np.float64], size: tuple[int, int]) -> bool:
    return bool(np.isfinite(point).all()) and inside(_pair(point), size, slack=-MARGIN * max(size))


def _pair(point: NDArray[np.float64]) -> Point:
    return float(point[0]), float(point[1])


HPATCHES = Layout(
    folder="hpatches-sequences-release",
    remedy=(
        "wget http://icvl.ee.ic.ac.uk/vbalnt/hpatches/hpatches-sequences-release.tar.gz\n"
        '    mkdir -p "{home}" && tar -xzf hpatches-sequences-release.tar.gz -C "{home}"\n'
        "    (it is looked for at {root})"
    ),
    splits=("test",),
    n_pictures=2,
    n_choices=N_CHOICES,
    facts=("change", "sequence"),
    items=_items,
)
