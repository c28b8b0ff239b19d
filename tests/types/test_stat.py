"""Arithmetic on a number with its interval."""

from __future__ import annotations

import math

import pytest

from vlmbench.types import Stat

GAIN = Stat(value=0.25, low=0.125, high=0.5, n=40, coverage=0.75)


def ends(stat: Stat) -> tuple[float, float, float]:
    return stat.low, stat.value, stat.high


def test_shifting_moves_all_three_and_keeps_the_documents() -> None:
    moved = GAIN.shifted(-1.0)
    assert ends(moved) == (-0.875, -0.75, -0.5)
    assert (moved.n, moved.coverage) == (40, 0.75)
    assert moved.shifted(1.0) == GAIN


def test_scaling_stretches_the_interval_and_a_negative_factor_turns_it_round() -> None:
    assert ends(GAIN.scaled(4.0)) == (0.5, 1.0, 2.0)
    assert ends(GAIN.scaled(-4.0)) == (-2.0, -1.0, -0.5)
    assert ends(GAIN.scaled(0.0)) == (0.0, 0.0, 0.0)
    assert (GAIN.scaled(-4.0).n, GAIN.scaled(-4.0).coverage) == (40, 0.75)


def test_reversing_twice_changes_nothing() -> None:
    assert ends(GAIN.reversed()) == (-0.5, -0.25, -0.125)
    assert GAIN.reversed().reversed() == GAIN


def test_what_is_left_of_a_share_is_one_less_it() -> None:
    assert ends(GAIN.reversed().shifted(1.0)) == (0.5, 0.75, 0.875)


@pytest.mark.parametrize(
    "change", [lambda s: s.shifted(1.0), lambda s: s.scaled(-2.0), lambda s: s.reversed()]
)
def test_a_number_without_an_interval_gets_none(change) -> None:
    stat = change(Stat(value=0.5, n=3))
    assert math.isfinite(stat.value)
    assert math.isnan(stat.low)
    assert math.isnan(stat.high)


def test_a_falling_function_is_refused_rather_than_giving_an_interval_upside_down() -> None:
    with pytest.raises(ValueError, match="upside down"):
        GAIN.mapped(lambda number: -number)
