"""From a document's regions to what lies there: sampled tokens, or pixels of a map."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from vlmbench.readouts.probes._features import Frame, OnGrid
from vlmbench.types import Region


@torch.no_grad()
def sample_at_points(
    patch_tokens: Float[Tensor, "h w dim"],
    xy: Float[np.ndarray, "points 2"],
    frame: Frame | OnGrid,
    *,
    sampling: Literal["bilinear", "nearest"] = "bilinear",
) -> Float[Tensor, "points dim"]:
    """Return patch tokens at points, (points, dim) float64, where the tokens are.

    A token belongs to its patch's centre; beyond the outermost centres the nearest token is used
    (`grid_sample` with `align_corners=False, padding_mode="border"`).

    Args:
        patch_tokens: (h, w, dim).
        xy: (points, 2); pixels of the original image, naming pixels: (0, 0) is the centre of
            the top-left pixel.
        frame: Where the image lies on the patch grid.
        sampling: Whether tokens are interpolated, or the patch that a point lies in is taken.
    """
    rows, columns = frame.grid
    grid = frame.to_grid(np.asarray(xy, dtype=np.float64) + 0.5) / (columns, rows) * 2 - 1
    maps = patch_tokens.detach().double().permute(2, 0, 1)[None]
    where = torch.from_numpy(grid).to(maps.device)[None, None]  # (1, 1, points, 2)
    found = grid_sample(maps, where, mode=sampling, padding_mode="border", align_corners=False)
    return found[0, :, 0].T


def mean_over_region(values: Float[np.ndarray, "height width"], region: Region) -> float:
    """Return the mean of a map of the image's pixels over a point's surroundings or a box.

    A point means the 3x3 pixels around the one it names, cut off at the border; a box the
    pixels whose centres lie in it, or the one under its middle if it is too small to hold any.
    """
    height, width = values.shape
    if region.kind == "point":
        x, y = (int(np.floor(c + 0.5)) for c in region.xy)
        box = (x - 1, y - 1, x + 2, y + 2)
    else:
        x0, y0, x1, y1 = (float(edge) for edge in region.xy)
        columns, rows = _pixels(x0, x1), _pixels(y0, y1)
        box = (columns[0], rows[0], columns[1], rows[1])
    left, top = min(max(box[0], 0), width - 1), min(max(box[1], 0), height - 1)
    right, bottom = max(min(box[2], width), left + 1), max(min(box[3], height), top + 1)
    return float(values[top:bottom, left:right].mean(dtype=np.float64))


def _pixels(low: float, high: float) -> tuple[int, int]:
    """Return [first, last) of the pixels with centres in [low, high), at least one."""
    first, last = int(np.ceil(low - 0.5)), int(np.ceil(high - 0.5))
    middle = int(np.floor((low + high) / 2))
    return (first, last) if first < last else (middle, middle + 1)
