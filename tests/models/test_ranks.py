"""Ranks that come to a number of parameters, against sums done by hand."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmbench.models._parts import Matrix
from vlmbench.models._ranks import budget_of, count, most_parameters, solve_ranks
from vlmbench.spec import Tuning
from vlmbench.types import VlmbenchError


def matrices(*sizes: tuple[int, int]) -> list[Matrix]:
    return [Matrix(name=f"layer{i}", size=size) for i, size in enumerate(sizes)]


LLAVA_7B = {
    # q, k, v, o of CLIP ViT-L's 23 blocks that are read, and both layers of their MLPs.
    "tower": matrices(*[(1024, 1024)] * 92, *[(1024, 4096), (4096, 1024)] * 23),
    "projector": matrices((1024, 4096), (4096, 4096)),
    "language": matrices(*[(4096, 4096)] * 128, *[(4096, 11008)] * 64, *[(11008, 4096)] * 32),
}


@pytest.mark.parametrize(
    ("sizes", "budget", "ranks"),
    [
        ([(4, 6)], 30, [3]),
        ([(10, 10), (10, 10)], 120, [3, 3]),
        ([(10, 10), (10, 10), (10, 10)], 200, [4, 3, 3]),  # the first ones get one more
        ([(10, 10), (10, 30)], 180, [3, 3]),
        ([(10, 10), (10, 30)], 200, [4, 3]),  # the wider one would not fit
        ([(10, 10), (10, 30)], 220, [3, 4]),  # and does here
        ([(2, 98), (50, 50)], 1200, [2, 10]),  # one of them is at full rank
    ],
)
def test_ranks_are_those_worked_out_by_hand(sizes, budget, ranks):
    found = solve_ranks(matrices(*sizes), budget)
    assert [found[f"layer{i}"] for i in range(len(sizes))] == ranks


@pytest.mark.parametrize("part", LLAVA_7B)
def test_the_papers_budget_is_met_by_each_part_of_a_7b_model(part):
    found = count(solve_ranks(LLAVA_7B[part], 16_700_000), LLAVA_7B[part])
    assert abs(found / 16_700_000 - 1) < 0.001


@given(
    sizes=st.lists(st.tuples(st.integers(8, 64), st.integers(8, 64)), min_size=1, max_size=9),
    share=st.floats(0.2, 1),
)
def test_a_budget_that_fits_is_met_within_2_percent_and_no_rank_is_beyond_full(sizes, share):
    held = matrices(*sizes)
    budget = max(round(share * most_parameters(held)), 25 * max(map(sum, sizes)))
    hypothesis.assume(budget <= most_parameters(held))
    ranks = solve_ranks(held, budget)
    assert all(0 < ranks[m.name] <= min(m.size) for m in held if m.name in ranks)
    assert abs(count(ranks, held) - budget) <= 0.02 * budget


def test_a_budget_below_the_smallest_update_is_refused_with_one_that_can_be_had():
    with pytest.raises(
        VlmbenchError, match=r"2 matrices can have .* 2% off 7\n +Take a budget nea"
    ):
        solve_ranks(matrices((10, 10), (20, 20)), 7)


def test_the_default_is_the_papers_share_within_what_the_smallest_part_takes():
    assert budget_of(Tuning(), LLAVA_7B, 7_000_000_000) == 16_800_000
    small = {"tower": matrices((8, 8)), "projector": matrices((16, 16)), "language": matrices()}
    assert budget_of(Tuning(), small | {"language": matrices((90, 90))}, 10_000) == 8 * 16
    assert budget_of(Tuning(), LLAVA_7B, 1_000_000) == 32_768


def test_a_budget_that_a_part_cannot_take_is_refused_by_name():
    parts = {"tower": matrices((64, 64)), "projector": matrices((8, 8))}
    assert budget_of(Tuning(budget=128), parts, 1) == 128
    with pytest.raises(VlmbenchError, match="129 parameters do not fit the model's projector"):
        budget_of(Tuning(budget=129), parts, 1)
