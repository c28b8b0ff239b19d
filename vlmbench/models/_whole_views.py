"""Taking the views that show images whole out of a batch of views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from vlmbench.models._views import Grid, View


def on_grid(grid: Grid, tokens: Tensor) -> Tensor:
    """Return (tokens, dim) row by row as (rows, columns, dim)."""
    return tokens.reshape(*grid, -1)


Cut = list[tuple[Tensor, Tensor | None]]


def cut(
    state: Tensor, views: Sequence[View], sizes: Sequence[int], class_place: int | None
) -> Cut | None:
    """Return (tokens, dim) of each image's whole view, and the class token beside it.

    Args:
        state: (views, tokens, dim), or all tokens of a batch in one sequence.
        views: One per image, in order.
        sizes: Tokens of one view of each.
        class_place: Where a class token would stand; None where there is none.
    """
    total = sum(view.views * size for view, size in zip(views, sizes, strict=True))
    rows = sum(view.views for view in views)
    # Of the right size is not enough: some projectors put tokens before views.
    in_order = state.ndim == 2 or len(state) in (1, rows)
    if in_order and state.shape[:-1].numel() == total:
        flat, start, found = state.reshape(-1, state.shape[-1]), 0, Cut()
        for view, size in zip(views, sizes, strict=True):
            first = start + view.index * size
            found.append((flat[first : first + size], None))
            start += view.views * size
        return found
    if class_place is None or state.ndim != 3 or len(state) != rows or len(set(sizes)) > 1:
        return None
    extra = state.shape[1] - sizes[0]
    if extra < 1:
        return None
    starts = np.cumsum([0, *(view.views for view in views)])[:-1]
    whole = [state[int(start) + view.index] for start, view in zip(starts, views, strict=True)]
    if class_place == 0:
        return [(row[extra:], row[0]) for row in whole]
    return [(row[:-extra], row[-1]) for row in whole]
