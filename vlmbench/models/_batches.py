"""One way to run many things in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")

# What libraries raise for an input that a model cannot take.
_BAD_INPUT = (RuntimeError, ValueError, IndexError, KeyError, TypeError)


def in_batches(
    items: Sequence[ItemT],
    run: Callable[[Sequence[ItemT]], Sequence[AnswerT]],
    *,
    size: int | None,
    first: int = 16,
    order: Callable[[ItemT], Any] | None = None,
    failed: Callable[[ItemT, Exception], AnswerT] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[AnswerT]:
    """Return what `run` gives for every item, in the order of `items`.

    Args:
        items: What to run.
        run: Returns one answer per item of a batch.
        size: Items a batch; None starts with `first` and halves whenever memory runs out.
        first: Items of the first batch where `size` is None.
        order: Items are run in ascending order of this key, equal ones as they stand. Longest
            first makes batches of like length, and memory runs out at once if it does.
        failed: Gives the answer for an item that cannot be run. A batch that raises is then run
            again item by item, so that one bad item costs no other its answer. Without it the
            error is raised.
        progress: Called with the number of items just done.

    Raises:
        torch.OutOfMemoryError: If a single item does not fit, or `size` is given.
    """
    queue = list(range(len(items)))
    if order is not None:
        queue.sort(key=lambda place: order(items[place]))
    answers: dict[int, AnswerT] = {}
    limit = size or first
    while len(answers) < len(queue):
        places = queue[len(answers) : len(answers) + limit]
        batch = [items[place] for place in places]
        done: Sequence[AnswerT] | None = None
        try:
            done = run(batch)
        except torch.OutOfMemoryError:
            if size is not None or len(batch) == 1:
                raise
        except _BAD_INPUT:
            if failed is None:
                raise
            done = [_alone(item, run, failed) for item in batch]
        if done is None:  # outside the handler, in which the error still holds the batch's tensors
            limit = len(batch) // 2
            torch.cuda.empty_cache()
            continue
        answers.update(zip(places, done, strict=True))
        progress(len(batch))
    return [answers[place] for place in range(len(items))]


def _alone(
    item: ItemT,
    run: Callable[[Sequence[ItemT]], Sequence[AnswerT]],
    failed: Callable[[ItemT, Exception], AnswerT],
) -> AnswerT:
    try:
        return run([item])[0]
    except torch.OutOfMemoryError:
        raise
    except _BAD_INPUT as error:
        return failed(item, error)
