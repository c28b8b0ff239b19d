"""Which pixels the question is about, and as many that it is not about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlmbench.types import Region

Mask = NDArray[np.bool_]
RADIUS = 0.08
"""Radius of the disc that represents a point, as a share of the image's shorter side."""


def region_mask(size: tuple[int, int], regions: Sequence[Region]) -> Mask:
    """Return (height, width) bool, True on an image's regions.

    Args:
        size: (width, height) of the image.
        regions: Those of this image, in its pixels. A box covers the pixels whose centre lies in
            it, a point a disc of `RADIUS`; whole images are left out, because they are not a place.
    """
    width, height = size
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), dtype=bool)
    for region in regions:
        if region.kind == "point":
            # A point names a pixel, so both centres are half a pixel further on.
            cx, cy = region.xy
            mask |= (x - cx) ** 2 + (y - cy) ** 2 <= (RADIUS * min(size)) ** 2
        elif region.kind == "box":
            x0, y0, x1, y1 = region.xy
            mask |= (x + 0.5 >= x0) & (x + 0.5 < x1) & (y + 0.5 >= y0) & (y + 0.5 < y1)
    return mask


def elsewhere(mask: Mask, rng: np.random.Generator) -> Mask:
    """Return a mask of exactly equal area that shares no pixel with `mask`.

    Each connected shape moves as it is to a place drawn from all that are free; where none is
    large enough, as many free pixels around a random one take its place.

    Raises:
        ValueError: More than half of the image is covered.
    """
    from skimage.measure import label

    if 2 * int(mask.sum()) > mask.size:
        raise ValueError("more than half of the image is covered")
    shapes = label(mask, connectivity=1)
    numbers, areas = np.unique(shapes[mask], return_counts=True)
    taken = mask.copy()
    for number in numbers[np.argsort(-areas, kind="stable")]:
        taken |= _moved(shapes == number, taken, rng)
    return taken & ~mask


def _moved(shape: Mask, taken: Mask, rng: np.random.Generator) -> Mask:
    """Return `shape` at a free place."""
    from scipy.signal import fftconvolve

    rows, columns = np.nonzero(shape)
    cut = shape[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    overlap = fftconvolve(taken.astype(float), cut[::-1, ::-1].astype(float), mode="valid")
    free = np.argwhere(overlap < 0.5)
    moved = np.zeros_like(taken)
    if len(free):
        top, left = free[rng.integers(len(free))]
        moved[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
        return moved
    places = np.argwhere(~taken)
    centre = places[rng.integers(len(places))]
    near = np.argsort(((places - centre) ** 2).sum(axis=1), kind="stable")[: len(rows)]
    moved[tuple(places[near].T)] = True
    return moved
