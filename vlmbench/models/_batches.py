"""One way to run many things in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from vlmbench.types import DocumentError

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")

# What is raised for an input that a model cannot take, here and by libraries.
_BAD_INPUT = (DocumentError, RuntimeError, ValueError, IndexError, KeyError, TypeError)


def in_batches(
    items: Sequence[ItemT],
    run: Callable[[Sequence[ItemT]], Sequence[AnswerT]],
    *,
    size: int | None,
    first: int = 16,
    order: Callable[[ItemT], Any] = lambda _: 0,
    failed: Callable[[ItemT, Exception], AnswerT] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[AnswerT]:
    """Return what `run` gives for every item, in the order of `items`.

    Args:
        items: What to run.
        run: Returns one answer per item of a batch.
        size: Items per batch; None starts with `first` and halves whenever memory runs out.
        first: Items of the first batch where `size` is None.
        order: Items are run in ascending order of this key, equal ones as they stand. Longest
            first makes batches of like length, and memory runs out at once if it does.
        failed: Gives the answer for an item that cannot be run, so that it costs no other item
            of its batch an answer. Without it the error is raised.
        progress: Called with the number of items just done.

    Raises:
        torch.OutOfMemoryError: If a single item does not fit, or `size` is given.
    """
    queue = sorted(range(len(items)), key=lambda place: order(items[place]))
    answers: dict[int, AnswerT] = {}
    limit = size or first
    while len(answers) < len(queue):
        places = queue[len(answers) : len(answers) + limit]
        done = _run([items[place] for place in places], run, failed, halves=size is None)
        if done is None:
            limit = len(places) // 2
            torch.cuda.empty_cache()
        else:
            answers.update(zip(places, done, strict=True))
            progress(len(places))
    return [answers[place] for place in range(len(items))]


def _run(
    batch: list[ItemT],
    run: Callable[[Sequence[ItemT]], Sequence[AnswerT]],
    failed: Callable[[ItemT, Exception], AnswerT] | None,
    *,
    halves: bool,
) -> Sequence[AnswerT] | None:
    """Return a batch's answers; None where it does not fit but half of it might."""
    try:
        return run(batch)
    except torch.OutOfMemoryError:
        if not halves or len(batch) == 1:
            raise
        return None
    except _BAD_INPUT as error:
        if failed is None:
            raise
        if len(batch) == 1:
            return [failed(batch[0], error)]
    return in_batches(batch, run, size=1, failed=failed)
