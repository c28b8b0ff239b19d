"""Where an image carries label boxes: white letters on a black rectangle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vlmbench.annotate._glyphs import Reading, read_label

# Text is brighter than one of these in every channel; several, because thin strokes that went
# through JPEG are dim, while thick ones of touching letters flow together at a low threshold.
_BRIGHT = (60, 100, 150, 210)
# A box is darker than this in every channel, and so is this share of the frame about its text:
# not all of it, because VPBench's boxes end where the text does on the right.
_DARK = 100
_FRAME = 0.6
# Where text touches a bright background, what is wider than one of these in both directions is no
# stroke: the smaller one cuts more cleanly, but cuts thick strokes too.
_BROAD = (4, 9)
_LEAST_HEIGHT = 5
_MOST_HEIGHT = 90
_LEAST_MATCH = 0.62


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """White text on black.

    Attributes:
        reading: What it says.
        box: (left, top, right, bottom) of the text in pixels, ends exclusive.
    """

    reading: Reading
    box: tuple[int, int, int, int]

    @property
    def height(self) -> int:
        """Height of the capitals in pixels."""
        return self.box[3] - self.box[1]

    @property
    def centre(self) -> float:
        """Middle of the text along x; a pixel's centre has its integer coordinate."""
        return (self.box[0] + self.box[2] - 1) / 2


Box = tuple[int, int, int, int]


def find_labels(rgb: NDArray[np.uint8]) -> list[Label]:
    """Return what looks like `A` to `D` or `REF` in white on black, likeliest first.

    Args:
        rgb: (h, w, 3) image.
    """
    dimmest, brightest = rgb.min(axis=2), rgb.max(axis=2)
    dark = np.pad(np.cumsum(np.cumsum(brightest < _DARK, axis=0), axis=1), ((1, 0), (1, 0)))
    found: list[Label] = []
    seen: set[Box] = set()
    for threshold in _BRIGHT:
        bright = dimmest > threshold
        letters = _letters(bright, dark)
        for broad in _BROAD:
            letters += _letters(bright & ~_opened(bright, broad), dark)
        for box in _words(list(set(letters))):
            if box in seen:
                continue
            seen.add(box)
            label = max(_readings(dimmest, box), key=lambda one: one.reading.match)
            if label.reading.match >= _LEAST_MATCH:
                found.append(label)
    return _distinct(found)


def _readings(dimmest: NDArray[np.uint8], box: Box) -> Iterator[Label]:
    """Yield what a box says, also without its last columns, which may be next to the black."""
    left, top, right, bottom = box
    for share in (0, 0.06, 0.12):
        end = right - round(share * (bottom - top))
        if end > left + 1:
            patch = dimmest[top:bottom, left:end].astype(np.float64)
            yield Label(reading=read_label(patch), box=(left, top, end, bottom))


def _opened(bright: NDArray[np.bool_], broad: int) -> NDArray[np.bool_]:
    """Return the bright pixels that a bright square of `broad` pixels a side covers."""
    core = ndimage.minimum_filter(bright.view(np.uint8), broad, mode="constant")
    # An even square has no middle: the second filter leans the other way.
    back = broad % 2 - 1
    return np.asarray(ndimage.maximum_filter(core, broad, mode="constant", origin=back) > 0)


def _letters(bright: NDArray[np.bool_], dark: NDArray[np.int64]) -> list[Box]:
    """Return boxes of connected bright spots that a dark frame surrounds."""
    names, _ = ndimage.label(bright, structure=np.ones((3, 3)))
    spans = [span for span in ndimage.find_objects(names) if span is not None]
    boxes = np.array([(x.start, y.start, x.stop, y.stop) for y, x in spans], dtype=np.int64)
    boxes = boxes.reshape(-1, 4)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    fits = (high >= _LEAST_HEIGHT) & (high <= _MOST_HEIGHT)
    fits &= (wide >= 0.3 * high) & (wide <= 4 * high)
    boxes = boxes[fits]
    limit = np.array([bright.shape[1], bright.shape[0]] * 2)
    outer = np.clip(boxes + np.array([-1, -1, 1, 1]), 0, limit)
    area = _area(outer) - _area(boxes)
    framed = _total(dark, outer) - _total(dark, boxes) >= _FRAME * np.maximum(area, 1)
    return [(int(a), int(b), int(c), int(d)) for a, b, c, d in boxes[framed]]


def _area(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _total(table: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum within each box, from a summed-area table."""
    left, top, right, bottom = boxes.T
    total = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return np.asarray(total)


def _words(letters: list[Box]) -> Iterator[Box]:
    """Yield every letter, and every run of two or three on one line: `REF` is three of them."""
    letters = sorted(letters)
    for i, first in enumerate(letters):
        yield first
        word, last = first, first
        for other in letters[i + 1 : i + 8]:
            height = last[3] - last[1]
            if other[0] - last[2] > 0.6 * height or word[2] - word[0] > 3 * height:
                break
            level = abs(other[1] - last[1]) <= 0.2 * height
            if level and abs(other[3] - last[3]) <= 0.2 * height and other[0] >= last[2] - 1:
                word = (word[0], min(word[1], other[1]), other[2], max(word[3], other[3]))
                last = other
                yield word


def _distinct(labels: list[Label]) -> list[Label]:
    """Drop what overlaps something likelier; letters within a `REF` belong to it."""
    labels = sorted(labels, key=lambda label: -label.reading.match)
    whole = [label for label in labels if label.reading.label == "REF"]
    kept: list[Label] = []
    for label in [*whole, *(label for label in labels if label.reading.label != "REF")]:
        if not any(_shared(label.box, other.box) > 0.3 for other in kept):
            kept.append(label)
    return sorted(kept, key=lambda label: -label.reading.match)


def _shared(a: Box, b: Box) -> float:
    """Return the common area over the smaller one's."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(wide, 0) * max(high, 0) / smaller
