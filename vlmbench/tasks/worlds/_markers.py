"""Markers in BLINK's style, scaled to small images: a hollow red ring and a lettered black tag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

RADIUS = 3.0
"""Radius of the ring in pixels."""

REACH = 5.0
"""Pixels from the point within which the ring and its rim lie."""

_RED, _BLACK, _WHITE = (235, 20, 20), (0, 0, 0), (255, 255, 255)

_WIDE = {
    "A": (".###.", "#...#", "#####", "#...#", "#...#"),
    "B": ("####.", "#...#", "####.", "#...#", "####."),
    "C": (".####", "#....", "#....", "#....", ".####"),
    "D": ("####.", "#...#", "#...#", "#...#", "####."),
}
# Three narrow letters in one tag.
_REF = ("##..###.###", "#.#.#...#..", "##..##..##.", "#.#.#...#..", "#.#.###.#..")

Box = tuple[int, int, int, int]


def draw_markers(
    rgb: NDArray[np.uint8], points: ArrayLike, labels: Sequence[str]
) -> NDArray[np.uint8]:
    """Return a copy of an image with a ring about each point and a tag beside it.

    Args:
        rgb: (h, w, 3) image.
        points: (n, 2) pixel positions (x, y).
        labels: `A` to `D` or `REF`, one per point.
    """
    marked = rgb.copy()
    at = np.asarray(points, float).reshape(-1, 2)
    for point in at:
        _ring(marked, point)
    height, width = rgb.shape[:2]
    taken: list[Box] = []
    for point, label in zip(at, labels, strict=True):
        glyph = _glyph(label)
        box = _place(point, glyph.shape, at, taken, (width, height))
        taken.append(box)
        x0, y0, x1, y1 = box
        tile = np.where(glyph[..., None], _WHITE, _BLACK).astype(np.uint8)
        marked[y0:y1, x0:x1] = tile
    return marked


def _glyph(label: str) -> NDArray[np.bool_]:
    """(7, w) bitmap of a label with a border of one pixel."""
    rows = _REF if label == "REF" else _WIDE[label]
    return np.pad(np.array([[dot == "#" for dot in row] for row in rows]), 1)


def _ring(image: NDArray[np.uint8], point: NDArray[np.float64]) -> None:
    """Draw a red ring with a black rim, its interior untouched."""
    row, column = np.indices(image.shape[:2])
    distance = np.abs(np.hypot(column + 0.5 - point[0], row + 0.5 - point[1]) - RADIUS)
    image[distance < 1.45] = _BLACK
    image[distance < 0.75] = _RED


def _place(
    point: NDArray[np.float64],
    shape: tuple[int, ...],
    points: NDArray[np.float64],
    taken: Sequence[Box],
    size: tuple[int, int],
) -> Box:
    """Find the first place about a ring where a tag covers no ring and no other tag.

    Above comes first, as in BLINK. If every place is taken, the one that covers least wins.
    """
    height, width = shape
    clear = RADIUS + 2.0
    beside_x, beside_y = clear + width / 2, clear + height / 2
    rings = [(x - clear, y - clear, x + clear, y + clear) for x, y in points]
    best: tuple[float, Box] | None = None
    for dx, dy in ((0, -1), (0, 1), (1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1)):
        shift = 0.75 if dx and dy else 1.0
        x0 = round(float(point[0] + shift * dx * beside_x - width / 2))
        y0 = round(float(point[1] + shift * dy * beside_y - height / 2))
        x0 = min(max(x0, 0), size[0] - width)
        y0 = min(max(y0, 0), size[1] - height)
        box = (x0, y0, x0 + width, y0 + height)
        covered = sum(_overlap(box, other) for other in (*rings, *taken))
        if best is None or covered < best[0] - 1e-9:
            best = (covered, box)
    assert best is not None
    return best[1]


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Area in pixels that two boxes share."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)
