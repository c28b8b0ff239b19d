"""When two gaps tell different stories."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vlmbench.metrics import StatRow
from vlmbench.report._answered import told, turned

ROW = StatRow(
    model="m", task="t", condition="own", readout="encoder-prompted", metric="gap",
    value=0.0, low=0.0, high=0.0, n=100, coverage=0.9,
)  # fmt: skip


def gaps(counted, answered):
    """Rows of two gaps, each as value, half its interval's width, and p."""
    rows = []
    for ending, (value, half, p) in (("", counted), ("_answered", answered)):
        metric = f"gap{ending}"
        rows.append(replace(ROW, metric=metric, value=value, low=value - half, high=value + half))
        rows.append(replace(ROW, metric=f"mcnemar_p{ending}", value=p))
    return rows


BIG, SMALL, BACK = (0.3, 0.1, 0.001), (0.02, 0.1, 0.7), (-0.02, 0.1, 0.7)
NONE = (math.nan, math.nan, math.nan)


@pytest.mark.parametrize(
    ("counted", "answered", "disagree"),
    [
        (BIG, BIG, False),
        (SMALL, SMALL, False),
        (BIG, SMALL, True),
        (SMALL, BIG, True),
        (SMALL, BACK, True),
        (BIG, (-0.3, 0.1, 0.001), True),
        (BIG, (0.3, 0.1, 0.2), True),  # the interval alone is not enough
        ((0.0002, 0.1, 0.9), BACK, False),  # written as .000, which has no sign
        (BIG, NONE, True),
        (SMALL, NONE, False),
    ],
)
def test_gaps_disagree_in_sign_or_significance(counted, answered, disagree):
    assert bool(turned(gaps(counted, answered))) == disagree


def test_without_unread_answers_there_is_nothing_to_compare():
    assert turned(gaps(BIG, SMALL)[:2]) == []
    assert turned([]) == []


def test_both_gaps_are_told_with_what_they_are_of():
    ((gap, answered),) = turned(gaps(BIG, SMALL))
    words = told(gap, replace(answered, n=40, coverage=0.4))
    assert "+.300 [+.200, +.400] with unread answers counted as wrong" in words
    assert "+.020 [-.080, +.120] among the 40 of 100 documents" in words
