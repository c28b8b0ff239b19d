"""NYU Depth V2, labelled part: 1449 indoor frames with depth, on which depth heads are fitted.

Layout [D] (Silberman et al., ECCV 2012,
https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html): `nyu_depth_v2_labeled.mat` is MATLAB v7.3,
that is HDF5, whose axes come reversed: `images` (N, 3, width, height) uint8 and `depths`
(N, width, height) float32 in metres, holes filled in, `scenes` (1, N) references to the names of
the rooms. `splits.mat` is an ordinary MATLAB file with `trainNdxs` (795) and `testNdxs` (654),
counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlmbench.tasks.sources._items import Item, Layout, Point
from vlmbench.tasks.sources._places import require
from vlmbench.types import require_extra

if TYPE_CHECKING:
    import h5py

FRAMES, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
# Eigen's crop of the 480 x 640 frames, outside which depth is made up: (top, bottom, left,
# right) as shares of height and width. Deviation: the field crops when it evaluates; here depth
# outside counts as unknown in training too.
CROP = (45 / 480, 471 / 480, 41 / 640, 601 / 640)
# One of this many training frames, the last ones in order, chooses the epoch: frames of a scene
# are next to each other, so a block shares fewer scenes with the rest than a random choice would.
VALIDATION_SHARE = 10
# The farther point lies at least this many times as far, and this share of the width away.
RATIO = 1.25
APART = 0.1
ATTEMPTS = 200
# Depth in the 5 x 5 pixels about a point may vary by this share: no point on an edge.
FLAT = 0.05
REACH = 2


def _items(root: Path, split: str, rng: np.random.Generator) -> Iterator[Item]:
    """Yield frames of a split: all of them to train on, with two points each to be asked about."""
    file = require(root / FRAMES, "the labelled part of NYU Depth V2", "")
    indices = _indices(require(root / SPLITS, "the official split", ""), split)
    if split == "test":
        indices = rng.permutation(indices)
    for index in indices.tolist():
        candidates: tuple[Point, ...] | None = ()
        if split == "test":
            candidates = two_points(read_depth(file, index), rng)
        if candidates is not None:
            yield Item(
                name=f"{index:04d}",
                pictures=(partial(read_picture, file, index),),
                candidates=candidates,
                depth=partial(read_depth, file, index),
                facts={"scene": read_scene(file, index)},
            )


def _indices(file: Path, split: str) -> NDArray[np.int64]:
    """Return the frames of a split, counted from 0."""
    from scipy.io import loadmat

    table = loadmat(file)
    if split == "test":
        return np.asarray(table["testNdxs"].ravel(), dtype=np.int64) - 1
    train = np.sort(np.asarray(table["trainNdxs"].ravel(), dtype=np.int64) - 1)
    cut = len(train) - max(1, len(train) // VALIDATION_SHARE)
    return train[:cut] if split == "train" else train[cut:]


def _open(file: Path) -> h5py.File:
    require_extra("h5py", "nyuv2", "reading the frames of NYU Depth V2")
    import h5py

    return h5py.File(file, "r")


def read_picture(file: Path, index: int) -> Image.Image:
    """Return a frame as an RGB picture."""
    with _open(file) as frames:
        return Image.fromarray(np.ascontiguousarray(frames["images"][index].transpose(2, 1, 0)))


def read_depth(file: Path, index: int) -> NDArray[np.float32]:
    """Return a frame's (height, width) depth in metres, 0 outside Eigen's crop."""
    with _open(file) as frames:
        depth = np.asarray(frames["depths"][index].T, dtype=np.float32)
    height, width = depth.shape
    top, bottom = round(CROP[0] * height), round(CROP[1] * height)
    left, right = round(CROP[2] * width), round(CROP[3] * width)
    known = np.zeros_like(depth)
    known[top:bottom, left:right] = depth[top:bottom, left:right]
    return known


def read_scene(file: Path, index: int) -> str:
    """Return the name of the room that a frame shows; several frames may show the same one."""
    with _open(file) as frames:
        return "".join(map(chr, frames[frames["scenes"][0, index]][()].ravel()))


def two_points(depth: NDArray[np.float32], rng: np.random.Generator) -> tuple[Point, Point] | None:
    """Return two pixels of clearly different known depth, the nearer first, or None.

    The choice of points is ours: NYU Depth V2 has no such question.
    """
    height, width = depth.shape
    for _ in range(ATTEMPTS):
        x = rng.integers(REACH, width - REACH, 2)
        y = rng.integers(REACH, height - REACH, 2)
        near, far = (_flat_depth(depth, int(x[i]), int(y[i])) for i in range(2))
        if near is None or far is None or np.hypot(*np.diff([x, y])[:, 0]) < APART * width:
            continue
        if max(near, far) < RATIO * min(near, far):
            continue
        points = [(float(x[i]), float(y[i])) for i in range(2)]
        return (points[0], points[1]) if near < far else (points[1], points[0])
    return None


def _flat_depth(depth: NDArray[np.float32], x: int, y: int) -> float | None:
    """Return the mean depth about a pixel, or None where it is unknown or steep."""
    patch = depth[y - REACH : y + REACH + 1, x - REACH : x + REACH + 1]
    mean = float(patch.mean())
    return None if (patch <= 0).any() or np.ptp(patch) > FLAT * mean else mean


NYUV2 = Layout(
    folder="nyu_depth_v2",
    remedy=(
        'mkdir -p "{root}" && cd "{root}"\n'
        "    wget http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/nyu_depth_v2_labeled.mat\n"
        "    wget http://horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/splits.mat"
    ),
    splits=("train", "validation", "test"),
    n_pictures=1,
    n_choices=2,
    facts=("scene",),
    has_depth=True,
    items=_items,
)
