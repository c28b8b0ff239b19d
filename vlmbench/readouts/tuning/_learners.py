"""What is trained: low-rank updates of one part of a model, or a prefix of its prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vlmbench.models import (
    HfBackend,
    budget_of,
    fresh_lora,
    load_prefix,
    matrices_of,
    new_prefix,
    prefixed,
    save_lora,
    save_prefix,
    solve_ranks,
    stored_lora,
)
from vlmbench.spec import Lora, Prefix, Tuning, WeightChange

# Pixels a side of the picture by which it is found out which layers an answer depends on.
_SIDE = 224


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learner:
    """A model in which something can be trained.

    Attributes:
        backend: The model.
        trained: What is trained, by name.
        save: Writes it into a folder as an adapter of peft.
        about: How many parameters it has, and how they are laid out, for the record.
    """

    backend: HfBackend
    trained: Mapping[str, nn.Parameter]
    save: Callable[[Path], None]
    about: Mapping[str, Any]


@contextmanager
def learning(
    backend: HfBackend, weights: WeightChange, tuning: Tuning, *, seed: int
) -> Iterator[Learner]:
    """Make a model ready to be trained for a while; its own weights are left as they are.

    Args:
        backend: The model.
        weights: What is trained.
        tuning: How.
        seed: Seed of the first values.

    Raises:
        VlmbenchError: If the budget does not fit, or the model's parts are not known.
    """
    model = backend.model
    model.requires_grad_(False)
    match weights:
        case Lora(part=part):
            parts = matrices_of(model, backend.inputs.trial(_SIDE))
            budget = budget_of(tuning, parts, sum(p.numel() for p in model.parameters()))
            ranks = solve_ranks(parts[part], budget)
            with fresh_lora(model, parts[part], ranks, alpha=tuning.alpha, seed=seed) as wrapped:
                trained = {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
                yield Learner(
                    backend=backend,
                    trained=trained,
                    save=lambda folder: save_lora(wrapped, folder),
                    about={"budget": budget, "parameters": _count(trained), "ranks": ranks},
                )
        case Prefix(tokens=tokens):
            vectors = new_prefix(model, tokens, seed=seed)
            trained = {"prompt_embeddings": vectors}
            with prefixed(backend.inputs, vectors):
                yield Learner(
                    backend=backend,
                    trained=trained,
                    save=lambda folder: save_prefix(model, vectors, folder),
                    about={"parameters": _count(trained)},
                )
        case _:
            raise TypeError(f"{weights.label!r} is not trained")


@contextmanager
def learned(backend: HfBackend, weights: WeightChange, folder: Path) -> Iterator[None]:
    """Give a model the trained weights that are kept in a folder, for a while."""
    match weights:
        case Lora():
            with stored_lora(backend.model, folder):
                yield
        case Prefix():
            vectors = load_prefix(folder, torch.device(backend.model.device))
            with prefixed(backend.inputs, vectors):
                yield
        case _:
            raise TypeError(f"{weights.label!r} is not trained")


def _count(trained: Mapping[str, nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in trained.values())
