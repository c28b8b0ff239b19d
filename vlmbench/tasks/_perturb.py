"""Damage done to one image's pixels. Everything random comes from the generator that is given.

Pixels are (height, width, 3) uint8, RGB.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vlmbench.spec import BlankImage, Perturbation, PerturbedImage, ScrambledImage

Pixels = NDArray[np.uint8]

GREY = 127
CELLS = 8
"""Cells a side of the grid that `mask` works on."""
BLUR = 0.1
"""Standard deviation of the strongest blur, as a share of the shorter side."""
NOISE = 128.0
"""Standard deviation of the strongest noise, in grey levels."""


def blank(pixels: Pixels, change: BlankImage, rng: np.random.Generator) -> Pixels:
    """Return an image of the same size that shows nothing."""
    match change.fill:
        case "grey":
            return np.full_like(pixels, GREY)
        case "mean":
            mean = pixels.reshape(-1, 3).mean(axis=0)
            return np.broadcast_to(np.rint(mean).astype(np.uint8), pixels.shape).copy()
        case "noise":
            return rng.integers(0, 256, pixels.shape, dtype=np.uint8)
        case never:
            assert_never(never)


def scramble(pixels: Pixels, change: ScrambledImage, rng: np.random.Generator) -> Pixels:
    """Return the image with the cells of a grid in other places.

    The new order is one cycle through all cells, so none stays. What is left at the right and the
    bottom because the side is no multiple of the grid stays where it is.
    """
    height, width = pixels.shape[:2]
    rows, columns = min(change.grid, height), min(change.grid, width)
    h, w = height // rows, width // columns
    cells = [
        (slice(row * h, (row + 1) * h), slice(column * w, (column + 1) * w))
        for row in range(rows)
        for column in range(columns)
    ]
    order = rng.permutation(len(cells))
    scrambled = pixels.copy()
    for source, target in zip(order, np.roll(order, 1), strict=True):
        scrambled[cells[target]] = pixels[cells[source]]
    return scrambled


def perturb(pixels: Pixels, change: PerturbedImage, rng: np.random.Generator) -> Pixels:
    """Return the image damaged to the given strength.

    The same generator gives the same draws at every strength, so a stronger mask covers the
    weaker one, and a stronger noise is the same pattern.
    """
    by: Perturbation = change.by
    match by:
        case "mask":
            return _mask(pixels, change.strength, rng)
        case "crop":
            return _crop(pixels, change.strength, rng)
        case "colour":
            return _colour(pixels, change.strength)
        case "blur":
            radius = change.strength * BLUR * min(pixels.shape[:2])
            return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))
        case "noise":
            noise = rng.standard_normal(pixels.shape) * (change.strength * NOISE)
            return np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8)
        case never:
            assert_never(never)


def _mask(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Grey `strength` of the cells of a grid."""
    height, width = pixels.shape[:2]
    rows = np.arange(height) * CELLS // height
    columns = np.arange(width) * CELLS // width
    cell = rows[:, None] * CELLS + columns[None, :]
    chosen = rng.permutation(CELLS**2)[: round(strength * CELLS**2)]
    return np.where(np.isin(cell, chosen)[..., None], np.uint8(GREY), pixels)


def _crop(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Keep `1 - strength` of each side, near the middle, and enlarge it to the old size."""
    height, width = pixels.shape[:2]
    kept = [max(1.0, side * (1 - strength)) for side in (width, height)]
    # The middle half of all places: an object in the middle is not always cut the same way.
    share = rng.uniform(0.25, 0.75, 2)
    x, y = ((side - keep) * u for side, keep, u in zip((width, height), kept, share, strict=True))
    box = (x, y, x + kept[0], y + kept[1])
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def _colour(pixels: Pixels, strength: float) -> Pixels:
    """Turn hues by up to half a turn and take up to half of the saturation away."""
    from skimage.color import hsv2rgb, rgb2hsv

    hsv = rgb2hsv(pixels)
    hsv[..., 0] = (hsv[..., 0] + strength / 2) % 1
    hsv[..., 1] *= 1 - strength / 2
    turned: Pixels = np.rint(hsv2rgb(hsv) * 255).astype(np.uint8)
    return turned
