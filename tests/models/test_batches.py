"""Batches: order, halving, and one bad item among good ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch

from vlmbench.models import in_batches


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


def test_answers_come_back_in_the_order_of_the_items():
    runner, seen = Runner(), []
    found = in_batches(NUMBERS, runner, size=3, order=lambda n: -n, progress=seen.append)
    assert found == SQUARES
    assert runner.tried == [[9, 6, 5], [4, 3, 2], [1, 1]]
    assert seen == [3, 3, 2]


def test_equal_items_keep_their_order():
    pairs = [("b", 1), ("a", 1), ("c", 0)]
    tried: list[str] = []
    in_batches(pairs, lambda b: tried.extend(n for n, _ in b) or b, size=1, order=lambda p: p[1])
    assert tried == ["c", "b", "a"]


def test_batches_halve_until_they_fit():
    runner = Runner(room=2)
    assert in_batches(NUMBERS, runner, size=None, first=6) == SQUARES
    assert [len(batch) for batch in runner.tried] == [6, 3, 1, 1, 1, 1, 1, 1, 1, 1]
    runner = Runner(room=2)
    assert in_batches(NUMBERS, runner, size=None, first=4) == SQUARES
    assert [len(batch) for batch in runner.tried] == [4, 2, 2, 2, 2]


@pytest.mark.parametrize(("size", "first", "room"), [(4, 16, 2), (None, 4, 0)])
def test_what_cannot_be_halved_raises(size, first, room):
    """A size that was asked for is kept, and a single item cannot be made smaller."""
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(NUMBERS, Runner(room=room), size=size, first=first, failed=lambda n, e: -n)


def test_a_bad_item_costs_no_other_its_answer():
    runner = Runner(bad=frozenset({4}))
    found = in_batches(NUMBERS, runner, size=4, failed=lambda n, error: f"{n}: {error}")
    assert found == [9, 1, "4: no square", 1, 25, 81, 4, 36]
    assert runner.tried == [[3, 1, 4, 1], [3], [1], [4], [1], [5, 9, 2, 6]]
    with pytest.raises(ValueError, match="no square"):
        in_batches(NUMBERS, runner, size=4)


def test_other_errors_are_not_taken_for_a_bad_item():
    def interrupted(batch: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_batches(NUMBERS, interrupted, size=4, failed=lambda n, e: 0)


def test_as_many_answers_as_items_are_wanted():
    with pytest.raises(ValueError, match="zip"):
        in_batches(NUMBERS, lambda batch: [0], size=4)
