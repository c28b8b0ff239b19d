"""Cheap rules: answers that need no vision, or next to none, as baselines for every readout.

Each takes a row (images as arrays or PIL images, points in pixels) and returns one score per
choice, or None where the rule does not apply. Trained position models live in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from vlmbench.tasks.worlds._mesh import Floats

Rule = Callable[[Mapping[str, Any]], Floats | None]

_PATCH = 4  # half of the 8 x 8 pixels that are compared
_BINS = 4  # per colour channel


def _pixels(row: Mapping[str, Any], index: int) -> Floats:
    """(h, w, 3) the unmarked image of that number, or the only one there is."""
    name = f"unmarked_{index}"
    return np.asarray(row[name if name in row else f"image_{index}"], float)


def _points(row: Mapping[str, Any]) -> Floats | None:
    """(k, 2) marked points, one per choice."""
    return np.asarray(row["points"], float) if "points" in row else None


def lower_point(row: Mapping[str, Any]) -> Floats | None:
    """Score a choice by how low its point lies in the image."""
    points = _points(row)
    return None if points is None else points[:, 1]


def central_point(row: Mapping[str, Any]) -> Floats | None:
    """Score a choice by how near its point lies to the image's centre."""
    points = _points(row)
    if points is None:
        return None
    height, width = _pixels(row, 1).shape[:2]
    return np.asarray(-np.hypot(points[:, 0] - width / 2, points[:, 1] - height / 2))


def nearest_position(row: Mapping[str, Any]) -> Floats | None:
    """Score a choice by how near its point lies to the place of REF in its own image."""
    points = _points(row)
    if points is None or "reference" not in row:
        return None
    return np.asarray(-np.hypot(*(points - np.asarray(row["reference"], float)).T))


def longest_choice(row: Mapping[str, Any]) -> Floats:
    """Score a choice by the length of its text; ties fall to none."""
    return np.array([float(len(choice)) for choice in row["choices"]])


def first_choice(row: Mapping[str, Any]) -> Floats:
    """Score choices by their order."""
    return -np.arange(len(row["choices"]), dtype=float)


def patch_correlation(row: Mapping[str, Any]) -> Floats | None:
    """Correlate the raw 8 x 8 pixels about each point with those about REF."""
    points = _points(row)
    if points is None or "reference" not in row:
        return None
    reference = _patch(_pixels(row, 1), row["reference"])
    second = _pixels(row, 2)
    return np.array([_correlation(reference, _patch(second, point)) for point in points])


def patch_colour(row: Mapping[str, Any]) -> Floats | None:
    """Compare the mean colour of the 8 x 8 pixels about each point with that about REF."""
    points = _points(row)
    if points is None or "reference" not in row:
        return None
    reference = _patch(_pixels(row, 1), row["reference"]).mean(axis=(0, 1))
    second = _pixels(row, 2)
    means = np.array([_patch(second, point).mean(axis=(0, 1)) for point in points])
    return np.asarray(-np.abs(means - reference).sum(axis=1))


def colour_histogram(row: Mapping[str, Any]) -> Floats | None:
    """Compare whole images by colour histogram.

    With as many images as choices, the one least like the others scores highest (odd one out);
    with one more, the choice most like the first image does (reference).
    """
    return _whole_images(row, _histogram)


def thumbnail(row: Mapping[str, Any]) -> Floats | None:
    """Compare whole images shrunk to 8 x 8 pixels, as `colour_histogram` does."""
    return _whole_images(row, _thumbnail)


def _whole_images(row: Mapping[str, Any], describe: Callable[[Floats], Floats]) -> Floats | None:
    """Score choices that are images by how their descriptions overlap."""
    count = len([name for name in row if name.startswith("image_")])
    choices = len(row["choices"])
    if "points" in row or count < 2:
        return None
    found = np.stack([describe(_pixels(row, i + 1)) for i in range(count)])
    apart = np.abs(found[:, None] - found[None]).sum(axis=2)
    return np.asarray(apart.sum(axis=1) if count == choices else -apart[0, 1:])


def _patch(image: Floats, point: Any) -> Floats:
    """(8, 8, 3) pixels about a point, repeated past the border."""
    x, y = (round(float(value)) for value in point)
    padded = np.pad(image, ((_PATCH, _PATCH), (_PATCH, _PATCH), (0, 0)), mode="edge")
    return padded[y : y + 2 * _PATCH, x : x + 2 * _PATCH]


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson correlation over all values; 0 where one of them is constant."""
    a, b = a - a.mean(axis=(0, 1)), b - b.mean(axis=(0, 1))
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def _histogram(image: Floats) -> Floats:
    """Shares of pixels in each of 4 x 4 x 4 colour bins."""
    bins = np.minimum(image // (256 / _BINS), _BINS - 1).astype(int)
    flat = (bins[..., 0] * _BINS + bins[..., 1]) * _BINS + bins[..., 2]
    return np.asarray(np.bincount(flat.ravel(), minlength=_BINS**3) / flat.size)


def _thumbnail(image: Floats) -> Floats:
    """(192,) mean colours of an 8 x 8 grid."""
    height, width = (side // 8 * 8 for side in image.shape[:2])
    blocks = image[:height, :width].reshape(8, height // 8, 8, width // 8, 3)
    return np.asarray(blocks.mean(axis=(1, 3)).ravel() / 255)


CHEAP_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "first_choice": first_choice,
        "longest_choice": longest_choice,
        "lower_point": lower_point,
        "central_point": central_point,
        "nearest_position": nearest_position,
        "patch_correlation": patch_correlation,
        "patch_colour": patch_colour,
        "colour_histogram": colour_histogram,
        "thumbnail": thumbnail,
    }
)
"""Rule by name; each returns a score per choice, or None if it does not apply."""
