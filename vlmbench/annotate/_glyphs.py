"""Which label a patch of white text on black shows, by correlation with rendered labels.

The templates are the labels in two fonts: Pillow's own, and the single-stroke Roman Simplex of
A. V. Hershey (NBS Technical Report, 1967; public domain), which is what OpenCV's `putText` draws
and so VPBench's copy of BLINK's markers. Each is rendered at several sizes, so that a label
six pixels high is compared with what its strokes become at that size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

LABELS = ("A", "B", "C", "D", "REF")
# What else a black box may say. A patch that looks more like these is not a label.
_OTHERS = ("E", "F", "G", "H", "K", "M", "N", "O", "P", "Q", "R", "S", "U", "X", "RE", "EF")
_SIZES = (8, 9, 10, 11, 12, 14, 16, 20, 28, 40)
_STROKES = (0.06, 0.13, 0.2)
_SIDE = (20, 20)
# A factor of 1.5 in a patch's proportions costs about 0.05 of correlation.
_PROPORTION_COST = 0.3

# Hershey's strokes: polylines in a cell whose capitals are 21 units high, y upward.
_B_BOWLS = ((4, 21), (13, 21), (16, 20), (17, 19), (18, 17), (18, 15), (17, 13), (16, 12),
            (13, 11), (4, 11))  # fmt: skip
_STEM = ((4, 21), (4, 0))
_HERSHEY: dict[str, tuple[int, tuple[tuple[tuple[int, int], ...], ...]]] = {
    "A": (18, (((9, 21), (1, 0)), ((9, 21), (17, 0)), ((4, 7), (14, 7)))),
    "B": (21, (_STEM, _B_BOWLS, ((13, 11), (16, 10), (17, 9), (18, 7), (18, 4), (17, 2),
                                 (16, 1), (13, 0), (4, 0)))),
    "C": (21, (((18, 16), (17, 18), (15, 20), (13, 21), (9, 21), (7, 20), (5, 18), (4, 16),
                (3, 13), (3, 8), (4, 5), (5, 3), (7, 1), (9, 0), (13, 0), (15, 1), (17, 3),
                (18, 5)),)),
    "D": (21, (_STEM, ((4, 21), (11, 21), (14, 20), (16, 18), (17, 16), (18, 13), (18, 8),
                       (17, 5), (16, 3), (14, 1), (11, 0), (4, 0)))),
    "E": (19, (_STEM, ((4, 21), (17, 21)), ((4, 11), (12, 11)), ((4, 0), (17, 0)))),
    "F": (18, (_STEM, ((4, 21), (17, 21)), ((4, 11), (12, 11)))),
    "R": (21, (_STEM, _B_BOWLS, ((11, 11), (18, 0)))),
}  # fmt: skip

Patch = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a patch says.

    Attributes:
        label: The likeliest of `LABELS`.
        match: Its correlation with the best template, at most 1.
        margin: How much better than the best template of anything else.
    """

    label: str
    match: float
    margin: float


def hershey_text(label: str, height: float, stroke: float) -> Image.Image:
    """Return white single-stroke text on black, with a margin of `stroke` pixels and more.

    Args:
        label: Letters of A to F and R.
        height: Height of the capitals in pixels.
        stroke: Width of the pen in pixels.
    """
    unit, fine = height / 21, 4
    edge = round(stroke) + 2
    wide = sum(_HERSHEY[letter][0] for letter in label) * unit
    size = (round(wide) + 2 * edge, round(height) + 2 * edge)
    page = Image.new("L", (size[0] * fine, size[1] * fine))
    pen = ImageDraw.Draw(page)
    width, left = max(1, round(stroke * fine)), float(edge)
    for letter in label:
        advance, strokes = _HERSHEY[letter]
        for line in strokes:
            points = [((left + x * unit) * fine, (edge + (21 - y) * unit) * fine) for x, y in line]
            pen.line(points, fill=255, width=width, joint="curve")
        left += advance * unit
    return page.resize(size, Image.Resampling.BOX)


def read_label(patch: Patch) -> Reading:
    """Return the label that a tightly cut grey patch (h, w) of bright text on dark shows."""
    vector, proportion = _normalised(patch), patch.shape[1] / patch.shape[0]
    templates = _templates()
    match = templates.vectors @ vector
    match -= _PROPORTION_COST * np.log(proportion / templates.proportions) ** 2
    best = {name: float(match[templates.names == name].max()) for name in templates.all_names}
    label = max(LABELS, key=lambda name: best[name])
    rival = max(value for name, value in best.items() if name != label)
    return Reading(label=label, match=best[label], margin=best[label] - rival)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Templates:
    names: NDArray[np.str_]
    vectors: NDArray[np.float64]
    proportions: NDArray[np.float64]
    all_names: tuple[str, ...]


@cache
def _templates() -> _Templates:
    names, vectors, proportions = [], [], []
    for name in (*LABELS, *_OTHERS):
        for page in _renderings(name):
            patch = _cut(np.asarray(page, dtype=np.float64))
            names.append(name)
            vectors.append(_normalised(patch))
            proportions.append(patch.shape[1] / patch.shape[0])
    return _Templates(
        names=np.array(names),
        vectors=np.stack(vectors),
        proportions=np.array(proportions),
        all_names=(*LABELS, *_OTHERS),
    )


def _renderings(name: str) -> Iterator[Image.Image]:
    """Yield a label at every size: crisp, and reduced from twice that with a shift or none."""
    for size in _SIZES:
        yield _outline_text(name, size, (4, 4))
        for at in ((8, 8), (9, 9)):
            yield _outline_text(name, 2 * size, at).reduce(2)
        if set(name) <= set(_HERSHEY):
            for stroke in _STROKES:
                yield hershey_text(name, 0.75 * size, max(1.0, stroke * size))


def _outline_text(name: str, size: int, at: tuple[int, int]) -> Image.Image:
    page = Image.new("L", (len(name) * size + 16, 2 * size + 16))
    ImageDraw.Draw(page).text(at, name, font=ImageFont.load_default(size=size), fill=255)
    return page


def _cut(page: Patch) -> Patch:
    """Return the part of a page that holds ink, as a threshold finds it."""
    rows, columns = np.nonzero(page > 0.4 * page.max())
    return page[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _normalised(patch: Patch) -> NDArray[np.float64]:
    """Return a patch scaled to a fixed size, as a vector of mean 0 and length 1."""
    scaled = Image.fromarray(patch.astype(np.float32)).resize(_SIDE, Image.Resampling.BILINEAR)
    vector = np.asarray(scaled, dtype=np.float64).ravel()
    vector = vector - vector.mean()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
