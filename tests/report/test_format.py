"""What is shown bold, and how names are written."""

from __future__ import annotations

import math

import pytest

from vlmbench.metrics import StatRow
from vlmbench.report._format import escape, significant
from vlmbench.types import Stat


def row(value, low=math.nan, high=math.nan):
    stat = Stat(value=value, low=low, high=high, n=10)
    return StatRow.of(stat, model="m", task="t", condition="own", readout="r", metric="x")


@pytest.mark.parametrize(
    ("gap", "p", "expected"),
    [
        (row(0.3, 0.1, 0.5), row(0.01), True),
        (row(-0.3, -0.5, -0.1), row(0.01), True),
        (row(0.3, -0.1, 0.5), row(0.01), False),
        (row(1.0, 1.0, 1.0), row(0.5), False),
        (row(0.3, 0.1, 0.5), row(math.nan), False),
        (None, row(0.01), False),
        (row(0.3, 0.1, 0.5), None, False),
        (row(0.0004, 0.0001, 0.0006), row(0.01), False),
    ],
)
def test_a_gap_is_bold_only_if_interval_and_test_agree(gap, p, expected):
    assert significant(gap, p) is expected


def test_names_cannot_break_a_table():
    assert escape("a|b\n*c* <d> [e]") == "a\\|b \\*c\\* \\<d\\> \\[e\\]"
