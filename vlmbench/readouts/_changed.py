"""The model as a condition changes it: other weights, or another forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vlmbench.models import Backend, Remote
from vlmbench.plan import Cell
from vlmbench.readouts._reads import Opened
from vlmbench.readouts.tuning import tuned
from vlmbench.types import Asked


@contextmanager
def changed(cell: Cell, asked: Sequence[Asked], opened: Opened) -> Iterator[Backend | Remote]:
    """Give the model with the weights and the forward pass of a cell's condition, for a while.

    Args:
        cell: What is read.
        asked: All documents that are asked, in order.
        opened: What it may use; the training split if weights are trained.
    """
    del asked
    if cell.condition.weights.trains:
        with tuned(cell, opened) as backend:
            yield backend
    else:
        yield opened.model.backend
