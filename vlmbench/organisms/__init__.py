"""Organisms: tiny vision-language models that are really trained, and the recipes that make them.

Importing this package loads no torch; making or gating a model does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlmbench.organisms._recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from vlmbench.organisms._loop import Report

__all__ = ["Recipe", "load_recipe", "train"]


def train(
    recipe: Recipe,
    *,
    output: Path,
    cache: Path,
    resume: bool = True,
    progress: Report | None = None,
) -> Path:
    """Make the model of a recipe: see `vlmbench.organisms._train.train`."""
    from vlmbench.organisms import _train

    return _train.train(recipe, output=output, cache=cache, resume=resume, progress=progress)
