"""Random views of images: shifts, zooms, flips and light, from an explicit generator."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vlmbench.organisms._encoders import normalise


def crop(
    images: Tensor,
    zoom: NDArray[np.float64],
    centre: NDArray[np.float64],
    flip: NDArray[np.bool_],
    size: int,
) -> Tensor:
    """Return (B, 3, size, size) square crops, resampled bilinearly.

    Args:
        images: (B, 3, h, w).
        zoom: (B,) side of the crop as a share of the image's.
        centre: (B, 2) centre of the crop, x then y, in [-1, 1] across the image.
        flip: (B,) whether to mirror left and right.
        size: Side of the result in pixels.
    """
    theta = np.zeros((len(images), 2, 3), np.float32)
    theta[:, 0, 0] = np.where(flip, -zoom, zoom)
    theta[:, 1, 1] = zoom
    theta[:, :, 2] = centre
    grid = functional.affine_grid(
        torch.from_numpy(theta), [len(images), 3, size, size], align_corners=False
    )
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def light(images: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Return images with contrast and brightness changed at random, each by up to `strength`."""
    shape = (len(images), 1, 1, 1)
    gain = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, shape).astype(np.float32))
    offset = torch.from_numpy(rng.uniform(-strength, strength, shape).astype(np.float32))
    return images * gain + offset


def gentle_view(
    pixels: NDArray[np.uint8], flip: NDArray[np.bool_], rng: np.random.Generator
) -> Tensor:
    """Return (B, 3, h, w) views for labelled training: nearly the whole image, slightly moved."""
    count = len(pixels)
    moved = rng.random(count) < 0.7
    zoom = np.where(moved, rng.uniform(0.85, 1.1, count), 1.0)
    centre = np.where(moved[:, None], rng.uniform(-0.12, 0.12, (count, 2)), 0.0)
    view = crop(normalise(pixels), zoom, centre, flip, pixels.shape[1])
    return light(view, rng, 0.08)
