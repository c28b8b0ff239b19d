"""What is shown bold, and how names are written."""

from __future__ import annotations

import math

import pytest

from vlmbench.metrics import StatRow
from vlmbench.report._format import adjusted_gap_p, escape, gap_p, significant
from vlmbench.types import Stat


def row(value, low=math.nan, high=math.nan):
    stat = Stat(value=value, low=low, high=high, n=10)
    return StatRow.of(stat, model="m", task="t", condition="own", readout="r", metric="x")


@pytest.mark.parametrize(
    ("gap", "adjusted", "expected"),
    [
        (row(0.3, 0.1, 0.5), 0.01, True),
        (row(-0.3, -0.5, -0.1), 0.01, True),
        (row(0.3, -0.1, 0.5), 0.01, False),
        (row(1.0, 1.0, 1.0), 0.5, False),
        (row(0.3, 3e-18, 0.5), 0.01, False),
        (None, 0.01, False),
        (row(0.3, 0.1, 0.5), None, False),
        (row(0.0004, 0.0001, 0.0006), 0.01, False),
    ],
)
def test_a_gap_is_bold_only_if_interval_and_test_agree(gap, adjusted, expected):
    assert significant(gap, adjusted) is expected


def test_a_table_allows_for_all_of_its_tests():
    def test(task, value, metric="mcnemar_p", readout="encoder-prompted"):
        return StatRow.of(
            Stat(value=value, n=10),
            model="m",
            task=task,
            condition="own",
            readout=readout,
            metric=metric,
        )

    rows = [
        test("a", 0.01),
        test("b", 0.03, "flip_p"),
        test("c", math.nan),  # ties throughout: there was no test
        test("d", 0.001, readout="other-prompted"),
        test("e", 0.2, "gap"),
    ]
    assert gap_p(rows) == {("m", "a", ""): 0.01, ("m", "b", ""): 0.03}
    assert adjusted_gap_p(rows) == {("m", "a", ""): 0.02, ("m", "b", ""): 0.03}
    assert adjusted_gap_p([]) == {}


def test_names_cannot_break_a_table():
    assert escape("a|b\n*c* <d> [e]") == "a\\|b \\*c\\* \\<d\\> \\[e\\]"
