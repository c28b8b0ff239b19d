"""Hollow red rings near a place: a matched filter over radii, then a sub-pixel circle fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Redness = NDArray[np.float64]

LEAST_RADIUS = 3.0
# A ring is this much redder than what lies inside and outside it, or it is none.
_LEAST_CONTRAST = 0.06
_MOST_CANDIDATES = 8
# Width of the stroke over the radius that the search assumes; the fit does not.
_STROKE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """A hollow red ring.

    Attributes:
        x, y: Centre in pixels; a pixel's centre has its integer coordinates.
        radius: Of the middle of its stroke, in pixels.
        support: Share of its circumference that is redder than both sides of it.
        contrast: How much redder, in [0, 1] (median over that share).
        spread: Root mean square distance of the stroke from the circle, over the radius.
    """

    x: float
    y: float
    radius: float
    support: float
    contrast: float
    spread: float


def redness(rgb: NDArray[np.uint8]) -> Redness:
    """Return how far red exceeds the stronger of green and blue, in [-0.4, 1], per pixel.

    It goes below 0 because subsampled colour turns a thin red ring on green into a brown one.
    """
    red = rgb[..., 0].astype(np.float64)
    return np.asarray(np.clip((red - rgb[..., 1:].max(axis=2)) / 255, -0.4, 1))


def find_rings(
    red: Redness,
    window: tuple[int, int, int, int],
    radii: tuple[float, float],
    known: float | None = None,
) -> list[Ring]:
    """Return rings whose centre lies in a window, those that stand out most first.

    Args:
        red: (h, w) redness of the image.
        window: (left, top, right, bottom) of allowed centres in pixels, ends exclusive; it may
            reach beyond the image.
        radii: Least and largest radius in pixels.
        known: Radius that every ring has, if that is known: it holds the centre of a ring that is
            partly hidden, or crossed by another.
    """
    edge = int(np.ceil(1.6 * radii[1])) + 3
    left, top = window[0] - edge, window[1] - edge
    view = _cut(red, (left, top, window[2] + edge, window[3] + edge))
    if view is None or np.ptp(view) < 2 * _LEAST_CONTRAST:
        return []
    rings: list[Ring] = []
    for y, x, radius in _coarse(view, edge, radii):
        ring = _fit(view, x, y, radius, known)
        if ring is not None and not any(_same(ring, other) for other in rings):
            rings.append(ring)
    return [
        Ring(x=r.x + left, y=r.y + top, radius=r.radius, support=r.support, contrast=r.contrast,
             spread=r.spread)
        for r in rings
    ]  # fmt: skip


def _cut(red: Redness, box: tuple[int, int, int, int]) -> Redness | None:
    """Return a part of an image, continued beyond its edges; None if it lies outside."""
    height, width = red.shape
    left, top, right, bottom = box
    inside = red[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not inside.size:
        return None
    pad = ((max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)))
    return np.pad(inside, pad, mode="edge")


def _coarse(
    view: Redness, edge: int, radii: tuple[float, float]
) -> list[tuple[float, float, float]]:
    """Return (y, x, radius) where a ring of some radius and stroke fits best."""
    shrink = max(1, int(radii[0] / 3))
    small = _shrunk(view, shrink)
    steps = max(2, int(np.ceil(np.log(radii[1] / radii[0]) / 0.17)) + 1)
    scale = np.geomspace(radii[0], radii[1], steps)
    scores = _responses(small, scale / shrink)
    border = edge // shrink
    for axis in (1, 2):
        outer = np.arange(scores.shape[axis])
        outside = (outer < border) | (outer >= scores.shape[axis] - border)
        scores[(slice(None),) * axis + (outside,)] = -1
    peaks: list[tuple[float, float, float]] = []
    for _ in range(_MOST_CANDIDATES):
        k, y, x = (int(i) for i in np.unravel_index(int(scores.argmax()), scores.shape))
        if scores[k, y, x] < _LEAST_CONTRAST:
            break
        half = (shrink - 1) / 2
        peaks.append((y * shrink + half, x * shrink + half, float(scale[k])))
        reach = max(1, round(0.3 * float(scale[k]) / shrink))
        near = slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1)
        scores[max(k - 2, 0) : k + 3, near[0], near[1]] = -1
    return peaks


def _shrunk(view: Redness, by: int) -> Redness:
    """Return means over squares of `by` pixels."""
    rows, columns = view.shape[0] // by, view.shape[1] // by
    blocks = view[: rows * by, : columns * by].reshape(rows, by, columns, by)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _responses(view: Redness, radii: NDArray[np.float64]) -> Redness:
    """Return (n radii, h, w): mean redness on a ring minus the redder of its sides'."""
    reach = int(np.ceil(1.25 * radii[-1] + 4))
    shape = [fft.next_fast_len(side + reach, real=True) for side in view.shape]
    spectrum = fft.rfft2(view.astype(np.float32), shape)
    grid = np.hypot(*np.meshgrid(*(_folded(side) for side in shape), indexing="ij"))

    def mean(inner: float, outer: float) -> Redness:
        """Mean over an annulus about every pixel."""
        kernel = np.clip(outer - grid + 0.5, 0, 1) * np.clip(grid - inner + 0.5, 0, 1)
        smooth = fft.irfft2(spectrum * fft.rfft2(kernel / kernel.sum()), shape)
        return np.asarray(smooth[: view.shape[0], : view.shape[1]])

    found = []
    for radius in radii:
        half = max(0.8, _STROKE * radius / 2)
        inside = mean(0.0, max(radius - half - 0.7, 0.9))
        outside = mean(radius + half + 0.7, radius + half + 2.2)
        ring = mean(radius - half, radius + half)
        found.append(ring - np.maximum(inside, 0.7 * outside))
    return np.stack(found)


def _folded(side: int) -> NDArray[np.float32]:
    """Distance of every index from 0 on a circle of `side` of them."""
    index = np.arange(side, dtype=np.float32)
    return np.minimum(index, side - index)


def _fit(view: Redness, x: float, y: float, radius: float, known: float | None) -> Ring | None:
    """Fit a circle to where the redness peaks along rays, dropping rays that disagree."""
    radius = known or radius
    angles = np.linspace(0, 2 * np.pi, max(48, int(4 * radius)), endpoint=False)
    cos, sin = np.cos(angles), np.sin(angles)
    reach, last = 0.45, None
    for _ in range(5):
        at, weight = _profile(view, x, y, radius, reach, cos, sin)
        good = weight > max(_LEAST_CONTRAST, 0.35 * float(np.quantile(weight, 0.8)))
        if last is not None:
            good &= np.abs(at - radius) <= max(0.9, 0.16 * radius)
        if good.sum() < 0.25 * len(angles):
            return None
        px, py, strength = x + at[good] * cos[good], y + at[good] * sin[good], weight[good]
        if known is None:
            x, y, radius = _circle(px, py, strength)
        else:
            x, y = _centre(px, py, strength, (x, y), known)
        if not LEAST_RADIUS <= radius <= min(view.shape) or not np.isfinite(x + y):
            return None
        distance = np.hypot(px - x, py - y)
        last = Ring(
            x=x,
            y=y,
            radius=float(np.average(distance, weights=strength)),
            support=float(good.mean()),
            contrast=float(np.median(strength)),
            spread=float(np.sqrt(np.mean((distance - radius) ** 2)) / radius),
        )
        reach = max(0.25, 2.0 / radius)
    return last


def _profile(
    view: Redness,
    x: float,
    y: float,
    radius: float,
    reach: float,
    cos: NDArray[np.float64],
    sin: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, per ray, where the stroke lies and how far it exceeds both of its sides."""
    margin = reach + 1.5 / radius
    r = np.arange(max(0.0, radius * (1 - margin)), radius * (1 + margin), 0.25)
    at = np.stack([y + np.outer(sin, r), x + np.outer(cos, r)])
    level = ndimage.map_coordinates(view, at, order=1, mode="nearest")
    top = np.where(np.abs(r - radius) <= reach * radius, level, -1.0)
    peak = top.argmax(axis=1)
    rays = np.arange(len(cos))
    inside = np.minimum.accumulate(level, axis=1)[rays, peak]
    outside = np.minimum.accumulate(level[:, ::-1], axis=1)[:, ::-1][rays, peak]
    floor = np.maximum(inside, outside)
    base = level[rays, peak] - floor
    # The stroke's middle: the centroid of what exceeds half its height, next to the peak.
    over = np.clip(level - (floor + 0.5 * base)[:, None], 0, None)
    over[np.abs(r[None] - r[peak][:, None]) > max(1.5, 0.3 * radius)] = 0
    total = over.sum(axis=1)
    middle = (over * r).sum(axis=1) / np.maximum(total, 1e-9)
    return np.where(total > 0, middle, r[peak]), base


def _circle(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the weighted least-squares circle (centre x, y, radius) through points."""
    mx, my = float(x.mean()), float(y.mean())
    u, v = x - mx, y - my
    design = np.stack([2 * u, 2 * v, np.ones_like(u)], axis=1)
    root = np.sqrt(weight)
    solution, *_ = np.linalg.lstsq(design * root[:, None], (u**2 + v**2) * root, rcond=None)
    a, b, c = (float(value) for value in solution)
    return a + mx, b + my, float(np.sqrt(max(c + a * a + b * b, 0.0)))


def _centre(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weight: NDArray[np.float64],
    start: tuple[float, float],
    radius: float,
) -> tuple[float, float]:
    """Return the centre of the weighted least-squares circle of a known radius (Gauss-Newton)."""
    at = np.array(start)
    root = np.sqrt(weight)
    for _ in range(4):
        away = np.stack([at[0] - x, at[1] - y], axis=1)
        distance = np.hypot(away[:, 0], away[:, 1])
        slope = away / np.maximum(distance, 1e-6)[:, None]
        step, *_ = np.linalg.lstsq(slope * root[:, None], (radius - distance) * root, rcond=None)
        at = at + step
    return float(at[0]), float(at[1])


def _same(a: Ring, b: Ring) -> bool:
    near = np.hypot(a.x - b.x, a.y - b.y) < 0.25 * max(a.radius, b.radius)
    return bool(near and abs(a.radius - b.radius) < 0.25 * max(a.radius, b.radius))
