"""Batches: order, halving, and one bad item among good ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from vlmbench.models import BatchSize, Kept, in_batches
from vlmbench.types import VlmbenchError


@dataclass
class Runner:
    """Squares numbers; at most `room` fit at once, and nobody can square those in `bad`."""

    room: int = 1000
    bad: frozenset[int] = frozenset()
    tried: list[list[int]] = field(default_factory=list)

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.tried.append(list(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError
        if self.bad.intersection(batch):
            raise ValueError("no square")
        return [number**2 for number in batch]


NUMBERS = [3, 1, 4, 1, 5, 9, 2, 6]
SQUARES = [number**2 for number in NUMBERS]


def run(runner: Callable[..., Any], items: Sequence[Any] = NUMBERS, **options: Any) -> list[Any]:
    """Run items in batches and return the answers in their order."""
    found = in_batches(items, runner, **options)
    return [found[place] for place in range(len(items))]


def test_answers_come_back_in_the_order_of_the_items():
    runner, seen = Runner(), []
    size = BatchSize(3, fixed=True)
    assert run(runner, size=size, order=lambda n: -n, progress=seen.append) == SQUARES
    assert runner.tried == [[9, 6, 5], [4, 3, 2], [1, 1]]
    assert seen == [3, 3, 2]


def test_equal_items_keep_their_order():
    pairs = [("b", 1), ("a", 1), ("c", 0)]
    tried: list[str] = []
    one = BatchSize(1)
    run(lambda b: tried.extend(n for n, _ in b) or b, pairs, size=one, order=lambda p: p[1])
    assert tried == ["c", "b", "a"]


def test_a_batch_has_at_most_so_many_tokens_padding_included():
    runner = Runner()
    run(runner, size=BatchSize(4, tokens=10), order=lambda n: -n, tokens=lambda n: n)
    assert runner.tried == [[9], [6], [5, 4], [3, 2, 1], [1]]
    runner = Runner()
    run(runner, [11, 12, 1], size=BatchSize(4, tokens=10), tokens=lambda n: n)
    assert runner.tried == [[11], [12], [1]], "an item that is too long runs alone"


def test_batches_halve_until_they_fit_and_the_size_is_remembered():
    runner, size = Runner(room=2), BatchSize(6)
    assert run(runner, size=size) == SQUARES
    assert [len(batch) for batch in runner.tried] == [6, 3, 1, 1, 1, 1, 1, 1, 1, 1]
    runner, size = Runner(room=2), BatchSize(4)
    assert run(runner, size=size) == SQUARES
    assert [len(batch) for batch in runner.tried] == [4, 2, 2, 2, 2]
    assert run(runner, size=size) == SQUARES
    assert [len(batch) for batch in runner.tried] == [4, *[2] * 8]


def test_where_long_items_do_not_fit_short_ones_still_share_batches():
    def run_if_short(batch: Sequence[int]) -> Sequence[int]:
        if len(batch) * max(batch) > 12:
            raise torch.OutOfMemoryError
        tried.append(list(batch))
        return batch

    tried: list[list[int]] = []
    size = BatchSize(100, tokens=18)
    assert run(run_if_short, [9, 9, 2, 2, 2, 1, 1, 1], size=size, tokens=lambda n: n)
    assert tried == [[9], [9], [2, 2, 2, 1], [1, 1]]
    assert size == BatchSize(100, tokens=9)


@pytest.mark.parametrize("size", [BatchSize(1), BatchSize(8), BatchSize(4, fixed=True)])
def test_what_does_not_fit_alone_fails_alone(size):
    """A size that was asked for is kept: items of a batch that does not fit are run one by one."""
    large = lambda batch: run_unless(batch, torch.OutOfMemoryError, {5})
    kept = replace(size)
    assert run(large, size=size, failed=lambda n, e: -n) == [9, 1, 16, 1, -5, 81, 4, 36]
    assert size == kept or not size.fixed
    with pytest.raises(torch.OutOfMemoryError):
        run(large, size=size)


def run_unless(batch: Sequence[int], error: type[BaseException], bad: Collection[int]) -> list[int]:
    """Square numbers, unless there is a bad one among them."""
    if set(bad) & set(batch):
        raise error("odd")
    return [number**2 for number in batch]


KINDS = (
    AttributeError, AssertionError, OSError, MemoryError, ZeroDivisionError, RuntimeError,
    RecursionError, StopIteration, UnicodeError, ArithmeticError, NotImplementedError, Exception,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_an_item_raises_costs_no_other_its_answer(kind):
    odd = lambda batch: run_unless(batch, kind, {4, 9})
    told = run(odd, size=BatchSize(4), failed=lambda n, error: type(error).__name__)
    assert told == [9, 1, kind.__name__, 1, 25, kind.__name__, 4, 36]


def test_what_is_no_fault_of_an_item_is_raised():
    of_all = lambda batch: run_unless(batch, VlmbenchError, {4})
    with pytest.raises(VlmbenchError, match="odd"):
        run(of_all, size=BatchSize(4), failed=lambda n, e: 0)


def test_a_bad_item_costs_no_other_its_answer():
    runner, size = Runner(bad=frozenset({4})), BatchSize(4)
    found = run(runner, size=size, failed=lambda n, error: f"{n}: {error}")
    assert found == [9, 1, "4: no square", 1, 25, 81, 4, 36]
    assert runner.tried == [[3, 1, 4, 1], [3], [1], [4], [1], [5, 9, 2, 6]]
    with pytest.raises(ValueError, match="no square"):
        run(runner, size=size)


def test_an_item_that_cannot_be_prepared_costs_no_other_its_answer():
    def prepare(batch: Sequence[int]) -> Sequence[int]:
        if 4 in batch:
            raise OSError("damaged")
        return batch

    found = run(Runner(), size=BatchSize(4), prepare=prepare, failed=lambda n, e: str(e))
    assert found == [9, 1, "OSError: damaged", 1, 25, 81, 4, 36]


def test_other_errors_are_not_taken_for_a_bad_item():
    def interrupted(batch: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, size=BatchSize(4), failed=lambda n, e: 0)


def test_as_many_answers_as_items_are_wanted():
    with pytest.raises(ValueError, match="zip"):
        run(lambda batch: [0], size=BatchSize(4))


def test_only_a_few_batches_are_prepared_ahead_however_many_there_are():
    ready, most = 0, 0

    def prepare(batch: Sequence[int]) -> Sequence[int]:
        nonlocal ready, most
        ready += 1
        most = max(most, ready)
        return batch

    def runs(batch: Sequence[int]) -> Sequence[int]:
        nonlocal ready
        time.sleep(0.001)
        ready -= 1
        return batch

    run(runs, range(400), size=BatchSize(2), prepare=prepare, workers=2)
    assert 2 <= most <= 4


def test_what_is_there_is_not_run_again_and_the_rest_shares_the_same_batches():
    """Batches are cut by all items: what was interrupted goes on with the same ones."""
    runner, kept = Runner(), {}
    keeping = Kept(
        answers={}, keep=lambda places, found: kept.update(dict(zip(places, found, strict=True)))
    )
    run(runner, size=BatchSize(3), kept=keeping)
    assert [kept[place] for place in range(8)] == SQUARES
    again, first = Runner(), {place: kept[place] for place in range(3)} | {4: kept[4]}
    seen: list[int] = []
    held = Kept(answers=first, keep=lambda *_: None)
    assert run(again, size=BatchSize(3), kept=held, progress=seen.append) == SQUARES
    assert again.tried == [[1, 9], [2, 6]]
    assert seen == [4, 2, 2]


@pytest.mark.parametrize("room", [100, 1])
def test_shares_are_all_of_the_work_and_none_of_it_twice(room):
    """Also where memory runs out in one of them: what is left of its share stays its own."""
    found: list[int] = []
    for which in range(5):
        share = Kept(answers={}, keep=lambda places, _: found.extend(places), share=(which, 5))
        in_batches(NUMBERS, Runner(room=room), size=BatchSize(2), kept=share)
    assert sorted(found) == list(range(8))


def test_a_lost_device_is_no_fault_of_the_documents_that_come_after():
    kept: list[Sequence[int]] = []

    def lost(batch: Sequence[int]) -> list[int]:
        if 5 in batch or len(kept) > 1:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel")
        return list(batch)

    ledger: Kept[int] = Kept(answers={}, keep=lambda places, _: kept.append(places))
    with pytest.raises(VlmbenchError, match="device-side assert triggered"):
        run(lost, size=BatchSize(2, fixed=True), failed=lambda _, __: -1, kept=ledger)
    assert kept == [[0, 1], [2, 3]]
