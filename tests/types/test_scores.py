"""Scores that name no choice are none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vlmbench.types import ChoiceScores, why_unusable

NAN, INF = float("nan"), float("inf")


def scores(*rows: Sequence[float], abstained: bool = False, failed: bool = False) -> ChoiceScores:
    return ChoiceScores(
        doc_ids=tuple(map(str, range(len(rows)))),
        gold=np.zeros(len(rows), dtype=np.int64),
        n_choices=np.full(len(rows), len(rows[0])),
        scores=np.array(rows),
        scale="logprob",
        abstained=np.full(len(rows), abstained),
        failed=np.full(len(rows), failed),
    )


@pytest.mark.parametrize("row", [(NAN, -1.0), (-1.0, NAN), (NAN, NAN), (INF, -1.0)])
def test_numbers_that_overflowed_are_no_scores(row):
    assert "overflowed" in why_unusable(np.array(row))
    with pytest.raises(ValueError, match="NaN, inf or only -inf"):
        scores((-1.0, -2.0), row)


def test_choices_that_are_all_impossible_are_no_tie():
    assert "minus infinity" in why_unusable(np.array([-INF, -INF]))
    with pytest.raises(ValueError, match="NaN, inf or only -inf"):
        scores((-1.0, -2.0), (-INF, -INF))


def test_one_impossible_choice_is_a_score():
    assert why_unusable(np.array([-1.0, -INF])) == ""
    assert len(scores((-1.0, -INF))) == 1


@pytest.mark.parametrize("row", [(NAN, NAN), (-INF, -INF), (INF, -1.0)])
def test_what_was_not_answered_may_hold_anything(row):
    assert len(scores(row, abstained=True)) == len(scores(row, failed=True)) == 1
