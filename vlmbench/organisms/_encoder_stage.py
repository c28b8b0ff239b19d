"""Trains an encoder on the image set by its recipe's objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from vlmbench.organisms._lessons import Library
from vlmbench.organisms._loop import Report, Stage, fit
from vlmbench.organisms._objectives import (
    CaptionObjective,
    EncoderBatch,
    LabelObjective,
    Objective,
)
from vlmbench.organisms._recipe import EncoderRecipe
from vlmbench.organisms._self_distillation import SelfDistillation

SAME_COLOUR = 0.5
"""Share of batches whose images all show one thing of one colour.

Captions are told apart by colour at once and by shape hardly; here only shape and pattern help.
"""


def build_objective(recipe: EncoderRecipe, tokenizer: PreTrainedTokenizerFast) -> Objective:
    """Return a fresh encoder with the heads of its objective."""
    match recipe.objective:
        case "clip" | "siglip":
            return CaptionObjective(recipe, tokenizer)
        case "supervised":
            return LabelObjective(recipe)
        case "self_distillation":
            return SelfDistillation(recipe)
        case _:
            assert_never(recipe.objective)


def draw_batch(library: Library, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of one batch, the same for every objective.

    Every other batch or so is made of single things of one colour; the others are a fair sample
    of all images.
    """
    if rng.random() < SAME_COLOUR:
        pools = library.by_colour
        pool = pools[int(rng.integers(len(pools)))]
        if len(pool) >= size:
            return rng.choice(pool, size, replace=False)
    return rng.choice(len(library.images), min(size, len(library.images)), replace=False)


def train_encoder(
    recipe: EncoderRecipe, objective: Objective, library: Library, stage: Stage, report: Report
) -> None:
    """Train the encoder of `objective` in place."""

    def backward(step: int) -> Mapping[str, float]:
        rng = stage.rng(step)
        index = np.sort(draw_batch(library, recipe.batch, rng))
        batch = EncoderBatch(
            pixels=library.images.pixels[index],
            facts=[library.images.facts[i] for i in index],
            rng=rng,
        )
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective.loss(batch)
        torch.autograd.backward(loss)
        return {"loss": loss.item()}

    fit(objective, backward, stage, report, objective.after_step)
