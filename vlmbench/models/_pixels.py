"""Whole squares as a tower takes them, and its tokens back in rows and columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor


def whole_squares(
    image_processor: Any, squares: Sequence[Image.Image], *, packed: bool
) -> dict[str, Tensor]:
    """Return the tower's inputs for squares that need no resizing, cropping or tiling.

    Args:
        image_processor: Whose rescaling and normalisation apply.
        squares: RGB images of one size.
        packed: Whether the tower takes the patches of all images in one sequence (Qwen-VL,
            GLM-4V), which its own processor cuts and orders.

    Returns:
        `pixel_values`, and for packed towers `grid_thw`.
    """
    if packed:
        batch = image_processor(images=list(squares), do_resize=False, return_tensors="pt")
        return {"pixel_values": batch["pixel_values"], "grid_thw": batch["image_grid_thw"]}
    pixels = np.stack([np.asarray(square, dtype=np.float64) for square in squares])
    if image_processor.do_rescale:
        pixels = pixels * image_processor.rescale_factor
    if image_processor.do_normalize:
        pixels = (pixels - np.asarray(image_processor.image_mean)) / image_processor.image_std
    tensor = torch.from_numpy(pixels).float().permute(0, 3, 1, 2).contiguous()
    return {"pixel_values": tensor}


def unpack(state: Tensor, images: int) -> Float[Tensor, "images tokens dim"]:
    """Return a state with one row per image, whether or not the tower ran them as one sequence."""
    return state.reshape(images, -1, state.shape[-1])


def packed_order(module: Any, grid_thw: Int[Tensor, "images 3"]) -> Int[Tensor, " tokens"]:
    """Return where each patch, row by row, is in a packed tower's sequence for one image.

    The processor puts the patches that are merged into one token next to each other; towers
    with window attention (Qwen2.5-VL) then sort these groups by window.
    """
    merge = int(module.config.spatial_merge_size)
    rows, columns = (int(edge) for edge in grid_thw[0, 1:])
    place = torch.arange(rows * columns, device=grid_thw.device)
    window = _window(module, grid_thw[:1], merge)
    if window is not None:  # group g of the sequence is the processor's group window[g]
        place = place.reshape(-1, merge * merge)[torch.argsort(window)].flatten()
    blocks = place.reshape(rows // merge, columns // merge, merge, merge)
    return blocks.transpose(1, 2).reshape(-1)


def merged_order(module: Any, grid_thw: Int[Tensor, "images 3"]) -> Int[Tensor, " tokens"]:
    """Return where each token of merged patches, row by row, is behind a packed tower.

    Before the towers that sort their patches by window have put them back.
    """
    merge = int(module.config.spatial_merge_size)
    window = _window(module, grid_thw[:1], merge)
    count = int(grid_thw[0, 1:].prod()) // merge**2
    return torch.arange(count) if window is None else torch.argsort(window)


def _window(module: Any, grid_thw: Tensor, merge: int) -> Tensor | None:
    if not hasattr(module, "fullatt_block_indexes"):
        return None
    if hasattr(module, "get_window_index"):  # earlier releases of transformers
        index, _ = module.get_window_index(grid_thw)
    else:
        index, _ = sys.modules[type(module).__module__].get_vision_window_index(
            grid_thw,
            spatial_merge_size=merge,
            window_size=module.window_size,
            patch_size=module.patch_size,
        )
    return torch.as_tensor(index, device=grid_thw.device)
