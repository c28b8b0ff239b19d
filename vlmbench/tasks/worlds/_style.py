"""Procedural styles: each turns a tone image into another that keeps the content, not the look.

A style works on tone alone, (h, w) float in [0, 1]; colour is put on afterwards from a palette
that knows nothing of the style, so that a colour histogram does not tell styles apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, median_filter, sobel
from scipy.spatial import cKDTree

from vlmbench.tasks.worlds._mesh import Floats

Rng = np.random.Generator


def _grid(tone: Floats) -> tuple[Floats, Floats]:
    """Row and column coordinates of every pixel."""
    rows, columns = np.indices(tone.shape, dtype=float)
    return rows, columns


def _cells(rng: Rng, tone: Floats, spacing: float, jitter: float) -> tuple[Floats, Floats, Floats]:
    """Jittered lattice: nearest centre's index, distance to it and gap to the second nearest."""
    h, w = tone.shape
    along = np.arange(-1, h / spacing + 1) * spacing
    ys, xs = np.meshgrid(along, along, indexing="ij")
    centres = np.stack([ys.ravel(), xs.ravel()], axis=1) + rng.uniform(0, spacing, 2)
    centres += rng.uniform(-jitter, jitter, centres.shape) * spacing
    rows, columns = _grid(tone)
    query = np.stack([rows.ravel(), columns.ravel()], axis=1)
    distance, index = cKDTree(centres).query(query, k=2)
    inside = np.clip(np.round(centres), 0, [h - 1, w - 1]).astype(int)
    value = gaussian_filter(tone, spacing / 3)[inside[:, 0], inside[:, 1]]
    shape = tone.shape
    return (
        value[index[:, 0]].reshape(shape),
        distance[:, 0].reshape(shape),
        (distance[:, 1] - distance[:, 0]).reshape(shape),
    )


def _lines(rng: Rng, tone: Floats, angle: float, period: float, wobble: float) -> Floats:
    """Parallel lines as a triangle wave in [0, 1], bent by smooth noise."""
    rows, columns = _grid(tone)
    bend = gaussian_filter(rng.normal(size=tone.shape), 8, mode="wrap")
    bend *= wobble / max(float(bend.std()), 1e-9)
    phase = (rows * np.cos(angle) + columns * np.sin(angle) + bend) / period + rng.random()
    return np.asarray(np.abs(2 * (phase - np.floor(phase)) - 1))


def _ink(wave: Floats, tone: Floats, sharp: float = 6.0) -> Floats:
    """White where a wave lies below the tone, dark elsewhere, with a soft edge."""
    return np.clip((tone - wave) * sharp + 0.5, 0, 1)


def _pointillism(rng: Rng, tone: Floats) -> Floats:
    value, distance, _ = _cells(rng, tone, rng.uniform(3.6, 4.6), 0.35)
    dot = np.clip(2.1 - distance, 0, 1)
    ground = 0.9
    scattered = np.clip(value + rng.normal(0, 0.03, tone.shape), 0, 1)
    return ground + (scattered - ground) * dot


def _hatching(rng: Rng, tone: Floats) -> Floats:
    """Crossed straight pen strokes, the second set only in the dark."""
    angle, period = rng.uniform(0.5, 1.1), rng.uniform(3.4, 4.4)
    one = _ink(_lines(rng, tone, angle, period, 0.3), tone * 0.6 + 0.2)
    two = _ink(_lines(rng, tone, angle + np.pi / 2, period, 0.3), tone * 1.5 + 0.2)
    return one * two


def _poster(rng: Rng, tone: Floats) -> Floats:
    """Few flat tones with clean borders."""
    flat = median_filter(gaussian_filter(tone, 1.0), 5)
    levels = int(rng.integers(3, 5))
    return np.asarray(np.round(flat * levels) / levels)


def _watercolour(rng: Rng, tone: Floats) -> Floats:
    """Washes that bleed, darker at their rims, on grainy paper."""
    rows, columns = _grid(tone)
    drift = [gaussian_filter(rng.normal(size=tone.shape), 3, mode="wrap") * 6 for _ in range(2)]
    bled = map_coordinates(
        gaussian_filter(tone, 1.8), [rows + drift[0], columns + drift[1]], order=1, mode="nearest"
    )
    rim = np.hypot(sobel(bled, 0), sobel(bled, 1))
    blotch = gaussian_filter(rng.normal(size=tone.shape), 5, mode="wrap")
    return np.asarray(bled * 0.75 + 0.25 - 0.35 * rim + blotch * 0.9)


def _mosaic(rng: Rng, tone: Floats) -> Floats:
    """Irregular tiles of one tone each, with dark grout."""
    value, _, gap = _cells(rng, tone, rng.uniform(6.0, 7.5), 0.3)
    grout = np.clip(gap / 1.1, 0, 1)
    return value * grout


def _woodcut(rng: Rng, tone: Floats) -> Floats:
    """Broad wavering cuts, nearly black and white, following one direction."""
    wave = _lines(rng, tone, rng.uniform(-0.4, 0.4), rng.uniform(6.0, 7.5), 2.2)
    return _ink(wave, np.clip((gaussian_filter(tone, 0.8) - 0.5) * 1.2 + 0.5, 0.12, 0.88), 4.0)


def _engraving(rng: Rng, tone: Floats) -> Floats:
    """Fine concentric lines that swell with darkness."""
    rows, columns = _grid(tone)
    centre = rng.uniform(-40, 136, 2)
    radius = np.hypot(rows - centre[0], columns - centre[1])
    phase = radius / rng.uniform(2.5, 2.9)
    wave = np.abs(2 * (phase - np.floor(phase)) - 1)
    return _ink(wave, tone * 0.75 + 0.12, 2.5)


def _oil(rng: Rng, tone: Floats) -> Floats:
    """Thick strokes along the forms: noise smeared along the contours over a blurred picture."""
    soft = gaussian_filter(tone, 2.0)
    gy, gx = sobel(soft, 0), sobel(soft, 1)
    turn = gaussian_filter(rng.normal(size=tone.shape), 10, mode="wrap") * 40
    flow = np.where(np.hypot(gy, gx) > 0.04, np.arctan2(gx, -gy), turn)
    dy, dx = np.sin(flow), np.cos(flow)
    rows, columns = _grid(tone)
    grain = gaussian_filter(rng.normal(size=tone.shape), 0.9)
    grain /= float(grain.std())
    smeared = np.zeros_like(tone)
    steps = np.arange(-5, 6)
    for step in steps:
        smeared += map_coordinates(
            grain, [rows + dy * step, columns + dx * step], order=0, mode="wrap"
        )
    body = median_filter(tone, 5)
    return np.asarray(body + 0.22 * smeared / len(steps) * 1.6)


STYLES: Mapping[str, Callable[[Rng, Floats], Floats]] = MappingProxyType(
    {
        "pointillism": _pointillism,
        "hatching": _hatching,
        "poster": _poster,
        "watercolour": _watercolour,
        "mosaic": _mosaic,
        "woodcut": _woodcut,
        "engraving": _engraving,
        "oil": _oil,
    }
)
"""Name of a style to the function that applies it to a tone image."""


def paint(
    rng: Rng, tone: Floats, style: str, *, instead: str | None = None
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return (h, w, 3) uint8: a tone image in a style, coloured by a random palette.

    Tones are replaced by their ranks before the palette is applied, so that every style puts the
    same amount of every colour on the page.

    Args:
        rng: Source of the style's parameters and of the palette.
        tone: (h, w) in [0, 1].
        style: One of `STYLES`.
        instead: Another style to draw it in, with all that is drawn after the style, the palette
            foremost, as it would be in `style`.
    """
    before = deepcopy(rng)
    drawn = STYLES[style](rng, tone)
    if instead not in (None, style):
        drawn = STYLES[instead](before, tone)
    share = _ranks(rng, drawn)
    # Random contrast: how ranks spread over the palette is drawn apart from the style.
    bend = np.exp(rng.uniform(-0.5, 0.5))
    share = share**bend
    stops = _palette(rng)
    rgb = np.stack(
        [np.interp(share, np.linspace(0, 1, len(stops)), stops[:, c]) for c in range(3)], axis=2
    )
    return np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8)


def _ranks(rng: Rng, drawn: Floats) -> Floats:
    """(h, w) ranks in [0, 1]; flat areas are ordered by a broad gradient, not by grain."""
    rows, columns = _grid(drawn)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (rows * np.cos(angle) + columns * np.sin(angle)) / 2000
    order = np.argsort((drawn + slope).ravel(), kind="stable")
    ranks = np.empty(drawn.size)
    ranks[order] = np.linspace(0, 1, drawn.size)
    return ranks.reshape(drawn.shape)


def _palette(rng: Rng) -> Floats:
    """(4, 3) colours from dark to light of random hues."""
    stops = []
    for light in (0.1, 0.36, 0.65, 0.95):
        hue = rng.uniform(0, 2 * np.pi)
        wheel = np.cos(hue + np.array([0, 2.1, 4.2]))
        wheel -= wheel @ np.array([0.299, 0.587, 0.114])  # keeps the lightness
        reach = 0.28 * min(light, 1 - light) / 0.35 + 0.04
        stops.append(np.clip(light + reach * wheel, 0, 1))
    return np.array(stops)
