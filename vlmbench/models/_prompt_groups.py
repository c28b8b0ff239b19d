"""The token groups of an encoded batch of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.models._backend import Prompt
from vlmbench.models._inputs import Inputs
from vlmbench.models._text import PromptText
from vlmbench.models._token_groups import (
    Grid,
    TokenGroups,
    known_grids,
    listed_tokens,
    region_cells,
    token_groups,
)
from vlmbench.types import Region


def groups_of(
    inputs: Inputs,
    batch: Mapping[str, Any],
    prompts: Sequence[Prompt],
    choices: Sequence[Sequence[str]],
    regions: Sequence[Sequence[Region | None]],
) -> list[TokenGroups]:
    """Return the token groups of each prompt of an encoded batch.

    Args:
        inputs: The model and how it takes prompts.
        batch: The prompts, encoded and padded on the right.
        prompts: The same before they were.
        choices: Per prompt, the continuations exactly as they follow the rendered prompt.
        regions: As `Inspects.inspect` takes them.
    """
    text = inputs.text
    ids = batch["input_ids"].cpu().numpy()
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    shown = any(prompt.images for prompt in prompts)
    images = inputs.image_positions(batch).cpu().numpy() if shown else ids < 0
    grids = batch.get("image_grid_thw")
    merge = getattr(getattr(inputs.model.config, "vision_config", None), "spatial_merge_size", 1)
    whole = _sees_whole(text.processor.image_processor, batch, prompts)
    found, seen = [], 0
    for index, prompt in enumerate(prompts):
        length = int(lengths[index])
        is_image = images[index, :length]
        packed = None if grids is None else grids[seen : seen + len(prompt.images)].tolist()
        seen += len(prompt.images)
        laid = known_grids(prompt.images, int(is_image.sum()), packed, merge=merge, whole=whole)
        listed = _listed(text, prompt, choices[index], ids[index, :length].tolist())
        cells = [_cells(held, prompt, laid) for held in _named(regions[index])]
        more: dict[str, Any] = {"reference": cells[1], "candidates": cells[2], "grids": laid}
        found.append(token_groups(is_image, cells[0], listed, **more))
    return found


def _listed(
    text: PromptText, prompt: Prompt, choices: Sequence[str], ids: Sequence[int]
) -> NDArray[np.bool_]:
    """Tell which tokens of a prompt list its choices."""
    before, _ = text.answers(text.render(prompt), choices)
    shown = [text.without_delimiter(choice) for choice in choices]
    return listed_tokens(text.processor.tokenizer, ids, text.tail(before), shown)


def _named(regions: Sequence[Region | None]) -> list[list[Region]]:
    """Return all regions, the reference alone, and those of the choices."""
    known = [region for region in regions if region is not None]
    reference = [region for region in regions[:1] if region is not None]
    return [known, reference, known[len(reference) :]]


def _cells(regions: Sequence[Region], prompt: Prompt, laid: Sequence[Grid] | None) -> Any:
    """Return which image tokens show regions; None where that is not known."""
    if laid is None or not regions:
        return None
    return region_cells(regions, prompt.images, laid)


def _sees_whole(processor: Any, batch: Mapping[str, Any], prompts: Sequence[Prompt]) -> bool:
    """Tell whether the processor makes one view of each image and cuts nothing off a square."""
    pixels = batch.get("pixel_values")
    n_images = sum(len(prompt.images) for prompt in prompts)
    one = pixels is not None and pixels.ndim == 4 and pixels.shape[0] == n_images
    if not getattr(processor, "do_center_crop", False):
        return one
    size, crop = dict(processor.size), dict(processor.crop_size)
    shortest = size.get("shortest_edge", size.get("height"))
    return one and crop == {"height": shortest, "width": shortest}
