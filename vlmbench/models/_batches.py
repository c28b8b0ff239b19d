"""One way to run many things in batches that fit into memory, prepared ahead of the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar, cast

import torch

from vlmbench.types import DocumentError, Problem, VlmbenchError

ItemT = TypeVar("ItemT")
ReadyT = TypeVar("ReadyT")
AnswerT = TypeVar("AnswerT")

# After such an error (of torch 2.8 on) a device does nothing more for the process.
_LOST: Any = getattr(torch, "AcceleratorError", ())
# Batches that are prepared, or being prepared, while the device works on another.
_AHEAD = 3


@dataclass(slots=True)
class BatchSize:
    """How large a batch is: found once, and remembered by who holds this.

    Attributes:
        items: Most items of a batch.
        tokens: Most tokens of a batch, padding included; None for no limit but `items`.
        fixed: Whether the user asked for this size.
    """

    items: int
    tokens: int | None = None
    fixed: bool = False

    @classmethod
    def of(cls, asked: int | BatchSize | None, items: int, tokens: int) -> BatchSize:
        """Return what was asked for: a size that is kept, one to go on with, or a new one."""
        if isinstance(asked, BatchSize):
            return asked
        return cls(items, tokens) if asked is None else cls(asked, fixed=True)

    def halve(self, items: int, tokens: int) -> None:
        """Become half of a batch that did not fit: of its tokens if these are limited.

        So short items still share batches where a few long ones did not fit.
        """
        if self.tokens is None or not tokens:
            self.items = items // 2
        else:
            self.tokens = tokens // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Generic[AnswerT]):
    """What is there already, where answers go as soon as they are there, and who gives the others.

    Batches are cut by all items, and what is there already is left out of them: an item shares its
    batch with the same others (or fewer) however often a run was interrupted.

    Attributes:
        answers: Answers that are there already, by place.
        keep: Is given the places and answers of a batch that has just been run.
        share: (which, of how many): only every so-manieth batch is run here.
    """

    answers: Mapping[int, AnswerT]
    keep: Callable[[Sequence[int], Sequence[AnswerT]], None]
    share: tuple[int, int] = (0, 1)


def in_batches(
    items: Sequence[ItemT],
    run: Callable[[Sequence[ReadyT]], Sequence[AnswerT]],
    *,
    size: BatchSize,
    prepare: Callable[[Sequence[ItemT]], Sequence[ReadyT]] | None = None,
    workers: int = 1,
    order: Callable[[ItemT], Any] = lambda _: 0,
    tokens: Callable[[ItemT], int] = lambda _: 0,
    failed: Callable[[ItemT, Exception], AnswerT] | None = None,
    kept: Kept[AnswerT] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[int, AnswerT]:
    """Return what `run` gives for every item, by its place in `items`.

    Only a few batches are in memory at once, whatever the number of items.

    Args:
        items: What to run.
        run: Returns one answer per item of a batch.
        size: How large a batch is; it is made smaller whenever memory runs out.
        prepare: Makes a batch ready to be run, in a thread, while another batch runs; by default
            items are ready as they are.
        workers: Threads that do so.
        order: Items are run in ascending order of this key, equal ones as they stand. Longest
            first makes batches of like length, and memory runs out at once if it does.
        tokens: An item's length, about. A batch is as long as the longest of its items.
        failed: Gives the answer for an item that cannot be run, whatever it raises, so that it
            costs no other item of its batch an answer. Without it the error is raised.
        kept: What is there already, and what is to be done with the rest.
        progress: Called with the number of items just done.

    Raises:
        VlmbenchError: If it is raised for another reason than an item (`DocumentError`).
    """
    loop = _Loop(items, run, size.fixed, prepare, failed, kept, progress)
    queue = sorted(range(len(items)), key=lambda place: order(items[place]))
    lengths = {place: tokens(items[place]) for place in queue}
    which, of = loop.kept.share
    batches = [one for k, one in enumerate(_cut(queue, lengths, size)) if k % of == which]
    pool = ThreadPoolExecutor(workers)
    try:
        while batches:  # once, and again with smaller ones where memory ran out
            failing, left = loop.through(batches, pool)
            if failing:
                size.halve(len(failing), len(failing) * max(lengths[place] for place in failing))
                torch.cuda.empty_cache()
            batches = list(_cut([*failing, *left], lengths, size))
    finally:  # whoever stops a run does not wait for what would have come next
        pool.shutdown(wait=False, cancel_futures=True)
    return loop.answers


class _Loop(Generic[ItemT, ReadyT, AnswerT]):
    """The state of one `in_batches`."""

    def __init__(
        self,
        items: Sequence[ItemT],
        run: Callable[[Sequence[ReadyT]], Sequence[AnswerT]],
        fixed: bool,
        prepare: Callable[[Sequence[ItemT]], Sequence[ReadyT]] | None,
        failed: Callable[[ItemT, Exception], AnswerT] | None,
        kept: Kept[AnswerT] | None,
        progress: Callable[[int], None],
    ) -> None:
        self.items, self.run, self.fixed = items, run, fixed
        self.prepare, self.failed, self.progress = prepare, failed, progress
        self.kept = kept or Kept(answers={}, keep=lambda _, __: None)
        self.answers: dict[int, AnswerT] = dict(self.kept.answers)
        if self.answers:
            progress(len(self.answers))

    def through(
        self, batches: Sequence[list[int]], pool: ThreadPoolExecutor
    ) -> tuple[list[int], list[int]]:
        """Run batches in turn; return the one for which memory ran out, and what is left then."""
        waiting = deque([place for place in one if place not in self.answers] for one in batches)
        ahead: deque[tuple[list[int], Future[Sequence[ReadyT]]]] = deque()
        while waiting or ahead:
            while waiting and len(ahead) < _AHEAD:
                places = waiting.popleft()
                if places:
                    ahead.append((places, pool.submit(self._prepared, places)))
            if not ahead:
                break
            places, ready = ahead.popleft()
            try:
                self._done(places, self._run(places, ready))
            except torch.OutOfMemoryError:
                if self.fixed or len(places) == 1:
                    raise
                for _, other in ahead:
                    other.cancel()
                return places, list(chain(*(one for one, _ in ahead), *waiting))
        return [], []

    def _run(self, places: list[int], ready: Future[Sequence[ReadyT]]) -> Sequence[AnswerT]:
        """Return a batch's answers, one by one where it does not run as it is."""
        try:
            return self.run(ready.result())
        except torch.OutOfMemoryError as error:
            if not self.fixed and len(places) > 1:
                raise
            if len(places) == 1:
                return [self._failed(places[0], error)]
        except Exception as error:
            if len(places) == 1:
                return [self._failed(places[0], error)]
            if self.failed is None:
                raise
        return [self._alone(place) for place in places]

    def _alone(self, place: int) -> AnswerT:
        try:
            (answer,) = self.run(self._prepared([place]))
        except Exception as error:
            return self._failed(place, error)
        return answer

    def _failed(self, place: int, error: Exception) -> AnswerT:
        """Return the answer for an item that cannot be run, or raise what is not its own fault."""
        if isinstance(error, _LOST):
            said = str(error).partition("\n")[0]
            message = f"the device stopped working, and does no more in this process: {said}"
            remedy = (
                "What is finished is kept: run the same command again. With `--batch-size 1` it "
                "is the next document that does it."
            )
            raise VlmbenchError(Problem(message=message, remedy=remedy)) from error
        of_all = isinstance(error, VlmbenchError) and not isinstance(error, DocumentError)
        if self.failed is None or of_all:
            raise error
        return self.failed(self.items[place], error)

    def _prepared(self, places: Sequence[int]) -> Sequence[ReadyT]:
        batch = [self.items[place] for place in places]
        if self.prepare is None:
            return cast("Sequence[ReadyT]", batch)
        try:
            return self.prepare(batch)
        except OSError as error:  # what Pillow raises for a damaged image
            raise DocumentError(f"{type(error).__name__}: {error}") from error

    def _done(self, places: Sequence[int], answers: Sequence[AnswerT]) -> None:
        self.answers.update(zip(places, answers, strict=True))
        self.kept.keep(places, answers)
        self.progress(len(places))


def _cut(queue: Sequence[int], lengths: Mapping[int, int], size: BatchSize) -> Iterator[list[int]]:
    """Yield batches of at most so many items and tokens, in order; an item too long, alone."""
    batch: list[int] = []
    longest = 0
    for place in queue:
        longer = max(longest, lengths[place])
        too_long = size.tokens is not None and longer * (len(batch) + 1) > size.tokens
        if batch and (len(batch) == size.items or too_long):
            yield batch
            batch, longer = [], lengths[place]
        batch.append(place)
        longest = longer
    if batch:
        yield batch
