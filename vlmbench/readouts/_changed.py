"""The model as a condition changes it: other weights, or another forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from vlmbench.models import Backend, Intervenes, Remote
from vlmbench.plan import Cell
from vlmbench.readouts._reads import Opened
from vlmbench.readouts.tuning import tuned
from vlmbench.types import Asked, VlmbenchError


@contextmanager
def changed(cell: Cell, asked: Sequence[Asked], opened: Opened) -> Iterator[Backend | Remote]:
    """Give the model with the weights and the forward pass of a cell's condition, for a while.

    Args:
        cell: What is read.
        asked: All documents that are asked, in order.
        opened: What it may use; the training split if weights are trained.
    """
    del asked
    trained = tuned(cell, opened) if cell.condition.weights.trains else None
    with nullcontext(opened.model.backend) if trained is None else trained as backend:
        condition = cell.condition
        if not condition.forward.intervenes:
            yield backend
            return
        if not isinstance(backend, Intervenes):
            message = f"{type(backend).__name__} does not allow `{condition.forward.label}`"
            raise VlmbenchError(cell.model.problem("backend", message, "Use the backend `hf`."))
        with backend.under(condition.forward, seed=condition.seed):
            yield backend
