"""Markers in BLINK's style on images of 96 pixels: letters of dots, a black rim, hard edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmbench.tasks._markers import Style, draw

RADIUS = 3.0
"""Radius of the ring in pixels."""

_RED = (235, 20, 20)

_WIDE = {
    "A": (".###.", "#...#", "#####", "#...#", "#...#"),
    "B": ("####.", "#...#", "####.", "#...#", "####."),
    "C": (".####", "#....", "#....", "#....", ".####"),
    "D": ("####.", "#...#", "#...#", "#...#", "####."),
}
# Three narrow letters in one tag.
_REF = ("##..###.###", "#.#.#...#..", "##..##..##.", "#.#.#...#..", "#.#.###.#..")


def _tag(label: str) -> NDArray[np.uint8]:
    """(7, w, 3) letters of white dots on black, with a border of one pixel."""
    rows = _REF if label == "REF" else _WIDE[label]
    dots = np.pad([[dot == "#" for dot in row] for row in rows], 1)
    return np.where(dots[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)


def marker_style() -> Style:
    """Return how every world draws its markers."""
    return Style(
        shape="ring",
        colour=_RED,
        radius=RADIUS,
        stroke=1.5,
        rim=0.7,
        smooth=False,
        gap=2.0,
        clear=2.0,
        side="above",
        tile=_tag,
    )


def draw_markers(
    rgb: NDArray[np.uint8], points: ArrayLike, labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Return a copy of an image with a ring around each point and a tag next to it.

    Args:
        rgb: (h, w, 3) image.
        points: (n, 2) positions (x, y); a pixel's centre ends in .5.
        labels: `A` to `D` or `REF`, one per point.
    """
    places = [(x, y) for x, y in np.asarray(points, float).reshape(-1, 2).tolist()]
    return draw(rgb, places, labels, marker_style())
