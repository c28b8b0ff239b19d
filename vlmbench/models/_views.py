"""How a processor shows an image whole, and which tokens of a prompt stand for that view.

Nothing is assumed of a processor's resizing, cropping, padding or tiling: an image whose colours
say where each pixel lies is put through it, and what comes out is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vlmbench.models._backend import IMAGE_PLACEHOLDER, Prompt
from vlmbench.models._inputs import Inputs
from vlmbench.models._tower import Tower
from vlmbench.types import DocumentError

Box = tuple[float, float, float, float]
Grid = tuple[int, int]

# Blue of the ramp's pixels; what a processor pads with is of another, or is cut off by this.
_INSIDE = 250
# Residual of a straight line, in pixels of the image as a share of its side.
_STRAIGHT = 0.02
# Distance to an edge of the view, in pixels of it, that is taken for the edge itself.
_EDGE = 0.6
# Share of an image's width and height that the whole view must show where there are several views.
_WHOLE = 0.98
# Columns at either end that interpolation bends.
_BENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The whole view of an image of one size.

    Attributes:
        views: Views that the processor makes of the image: rows of the tower's batch.
        index: Which of them shows it whole.
        patches: (rows, columns) of the tower's patches in a view.
        box: (x0, y0, x1, y1) of the image within the view, in patches. Lies partly outside where
            the image's edges are cut off.
        tokens: Tokens of the language model for all views of the image.
        start: Which of these is the first of the whole view.
        grid: (rows, columns) of the whole view's tokens.
    """

    views: int
    index: int
    patches: Grid
    box: Box
    tokens: int
    start: int
    grid: Grid

    @property
    def token_box(self) -> Box:
        """The image within the view, in tokens of the language model."""
        x, y = self.grid[1] / self.patches[1], self.grid[0] / self.patches[0]
        return self.box[0] * x, self.box[1] * y, self.box[2] * x, self.box[3] * y


class Views:
    """The views of one model's images, by their size.

    Args:
        inputs: The model and how it takes prompts.
        tower: Its vision tower.
    """

    def __init__(self, inputs: Inputs, tower: Tower) -> None:
        self.inputs = inputs
        self.tower = tower
        self._known: dict[tuple[tuple[int, int], int], View | str] = {}

    def of(self, size: tuple[int, int], among: int = 1) -> View:
        """Return the whole view of images of a size in prompts with so many images.

        Raises:
            DocumentError: If it is not known which patches or tokens show what.
        """
        if (size, among) not in self._known:
            self._known[size, among] = self._find(size, among)
        found = self._known[size, among]
        if isinstance(found, str):
            raise DocumentError(f"an image of {size[0]} x {size[1]} pixels: {found}")
        return found

    def record(self) -> dict[str, Any]:
        """Return what is known of the images seen so far, by size, as JSON values."""
        return {
            f"{width}x{height}": {
                "views": view.views,
                "read": view.index,
                "patches": list(view.patches),
                "box": [round(edge, 3) for edge in view.box],
                "tokens": list(view.grid),
            }
            for ((width, height), _), view in sorted(self._known.items(), key=lambda one: one[0])
            if isinstance(view, View)
        }

    def _find(self, size: tuple[int, int], among: int) -> View | str:
        text = self.inputs.text
        images = (_ramp(size),) * among
        prompt = Prompt(user=IMAGE_PLACEHOLDER * among, images=images)
        # Not `encode`, which rounds pixels to the model's number format.
        batch = text.processor(
            text=[text.render(prompt)], images=[list(images)], return_tensors="pt"
        )
        seen = self._packed(batch) or self._seen(batch, size, among)
        if isinstance(seen, str):
            return seen
        views, index, patches, box = seen
        tokens = int(self.inputs.image_positions(batch).sum()) // among
        laid = self._laid(views, patches, tokens)
        if isinstance(laid, str):
            return laid
        start, grid = laid
        return View(
            views=views, index=index, patches=patches, box=box, tokens=tokens, start=start,
            grid=grid,
        )  # fmt: skip

    def _packed(self, batch: Any) -> tuple[int, int, Grid, Box] | None:
        """Return the view of a processor that stretches images onto a grid that it names."""
        if "image_grid_thw" not in batch:
            return None
        _, rows, columns = (int(edge) for edge in batch["image_grid_thw"][0])
        return 1, 0, (rows, columns), (0.0, 0.0, float(columns), float(rows))

    def _seen(
        self, batch: Any, size: tuple[int, int], among: int
    ) -> tuple[int, int, Grid, Box] | str:
        """Return the view that shows most of the ramp, as its colours say."""
        if "pixel_values" not in batch:
            return "its processor gives pixels of other views than the ones that are known"
        pixels = torch.as_tensor(batch["pixel_values"]).double()
        if pixels.ndim < 4 or pixels.shape[-3] != 3:
            return "its processor gives patches, and does not say where they lie"
        pixels = pixels.reshape(-1, *pixels.shape[-3:])
        colours = self._colours(pixels[: len(pixels) // among])  # of the first image
        found = [_placed(view, size) for view in colours]
        covers = [0.0 if box is None else _covered(box, view) for box, view in zip(
            found, colours, strict=True)]  # fmt: skip
        index = int(np.argmax(covers))
        box = found[index]
        if box is None or (len(covers) > 1 and covers[index] < _WHOLE):
            return "no view shows it whole and in straight lines"
        _, height, width = colours[index].shape
        patch = self.tower.patch
        x0, y0, x1, y1 = (edge / patch for edge in box)
        return len(covers), index, (height // patch, width // patch), (x0, y0, x1, y1)

    def _colours(self, pixels: torch.Tensor) -> NDArray[np.float64]:
        """Return (views, 3, height, width) in grey levels, the processor's normalisation undone."""
        processor = self.inputs.text.processor.image_processor
        values = pixels.numpy()
        if getattr(processor, "do_normalize", False):
            mean, deviation = (
                np.broadcast_to(np.asarray(of, dtype=np.float64), 3)[:, None, None]
                for of in (processor.image_mean, processor.image_std)
            )
            values = values * deviation + mean
        if getattr(processor, "do_rescale", False):
            values = values / processor.rescale_factor
        return np.asarray(values, dtype=np.float64)

    def _laid(self, views: int, patches: Grid, tokens: int) -> tuple[int, Grid] | str:
        """Return where among an image's tokens the whole view starts, and its grid."""
        family, per_view = self.inputs.text.family, patches[0] * patches[1]
        if views == 1:
            grid = _merged(patches, min(tokens, per_view))
            return (0, grid) if grid else f"{tokens} tokens do not tile {patches} patches"
        if not family.whole_view:
            return "it is cut into tiles, and nobody has looked which of its tokens show it whole"
        each, rest = divmod(tokens, views)
        if family.equal_tiles and rest:
            return f"{tokens} tokens are no equal shares of {views} views"
        own = each if family.equal_tiles else per_view
        grid = _merged(patches, own)
        if grid is None:
            return f"{own} tokens do not tile {patches} patches"
        return (0 if family.whole_view == "first" else tokens - own), grid


def _ramp(size: tuple[int, int]) -> Image.Image:
    """Return an image whose red says x, whose green says y, and whose blue says that it is one."""
    width, height = size
    pixels = np.zeros((height, width, 3), dtype=np.float64)
    pixels[..., 0] = (np.arange(width) + 0.5) / width * 255
    pixels[..., 1] = ((np.arange(height) + 0.5) / height * 255)[:, None]
    pixels[..., 2] = 255
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def _placed(view: NDArray[np.float64], size: tuple[int, int]) -> Box | None:
    """Return (x0, y0, x1, y1) of the ramp's image in pixels of a view; None if it is not in it."""
    inside = view[2] > _INSIDE
    edges = []
    for axis, (plane, length) in enumerate(zip(view[:2], size, strict=True)):
        span = _line(plane * (length / 255), inside, axis, length)
        if span is None:
            return None
        edges.append(_snapped(span, view.shape[2 - axis]))
    (x0, x1), (y0, y1) = edges
    return x0, y0, x1, y1


def _line(
    values: NDArray[np.float64], inside: NDArray[np.bool_], axis: int, length: int
) -> tuple[float, float] | None:
    """Return where pixel edges 0 and `length` of the image lie along an axis of the view."""
    counts = inside.sum(axis=axis)
    held = np.flatnonzero(counts > 0.5 * max(1, counts.max()))
    held = held[_BENT:-_BENT] if len(held) > 4 * _BENT else held
    if len(held) < 3:
        return None
    means = np.where(inside, values, 0.0).sum(axis=axis)[held] / counts[held]
    slope, start = np.polyfit(held + 0.5, means, 1)
    if slope <= 0 or np.abs(start + slope * (held + 0.5) - means).max() > _STRAIGHT * length + 1:
        return None
    return float(-start / slope), float((length - start) / slope)


def _snapped(span: tuple[float, float], side: int) -> tuple[float, float]:
    low, high = span
    return (0.0 if abs(low) < _EDGE else low, float(side) if abs(high - side) < _EDGE else high)


def _covered(box: Box, view: NDArray[np.float64]) -> float:
    """Return the share of the image's width or height, the smaller, that a view shows."""
    shares = []
    for axis in (0, 1):
        low, high, side = box[axis], box[axis + 2], view.shape[2 - axis]
        shares.append((min(high, side) - max(low, 0)) / (high - low))
    return float(min(shares))


def _merged(patches: Grid, tokens: int) -> Grid | None:
    """Return the grid of tokens that each stand for f x f patches of a grid."""
    for factor in range(1, max(patches) + 1):
        grid = patches[0] // factor, patches[1] // factor
        if grid[0] * grid[1] == tokens:
            return grid
        if grid[0] * grid[1] < tokens:
            return None
    return None
