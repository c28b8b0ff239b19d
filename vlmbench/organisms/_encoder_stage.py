"""Trains an encoder by its recipe's objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import torch
from transformers import PreTrainedTokenizerFast

from vlmbench.organisms._dense import DenseObjective
from vlmbench.organisms._lessons import Library
from vlmbench.organisms._loop import Report, Stage, fit
from vlmbench.organisms._objectives import CaptionObjective, LabelObjective, Objective
from vlmbench.organisms._recipe import EncoderRecipe


def build_objective(recipe: EncoderRecipe, tokenizer: PreTrainedTokenizerFast) -> Objective:
    """Return a fresh encoder with the heads of its objective."""
    match recipe.objective:
        case "clip" | "siglip":
            return CaptionObjective(recipe, tokenizer)
        case "supervised":
            return LabelObjective(recipe)
        case "dense":
            return DenseObjective(recipe)
        case _:
            assert_never(recipe.objective)


def train_encoder(objective: Objective, library: Library, stage: Stage, report: Report) -> None:
    """Train the encoder of `objective` in place."""

    def backward(step: int) -> Mapping[str, float]:
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective.loss_at(step, stage.rng(step), library)
        torch.autograd.backward(loss)
        return {"loss": loss.item()}

    fit(objective, backward, stage, report, objective.matrices)
