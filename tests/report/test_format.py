"""How numbers are written."""

from __future__ import annotations

import math

import pytest

from vlmbench.metrics import StatRow
from vlmbench.report import _format as fmt
from vlmbench.types import Stat


def row(value, low=math.nan, high=math.nan):
    stat = Stat(value=value, low=low, high=high, n=10)
    return StatRow.of(stat, model="m", task="t", condition="own", readout="r", metric="x")


@pytest.mark.parametrize(
    ("value", "rate", "signed"),
    [
        (0.5234, ".523", "+.523"),
        (1.0, "1.000", "+1.000"),
        (-1.0, "-1.000", "-1.000"),
        (0.9996, "1.000", "+1.000"),
        (-0.0204, "-.020", "-.020"),
        (0.0, ".000", ".000"),
        (-0.0001, ".000", ".000"),
        (0.0001, ".000", ".000"),
        (10.05, "10.050", "+10.050"),
        (math.nan, "–", "–"),
    ],
)
def test_rates_have_three_decimals_and_no_leading_zero(value, rate, signed):
    assert fmt.rate(value) == rate
    assert fmt.signed(value) == signed


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "<.001"), (0.00099, "<.001"), (0.001, ".001"), (0.5, ".500"), (math.nan, "–")],
)
def test_p_values_are_never_zero(value, text):
    assert fmt.p_value(value) == text


def test_numbers_carry_marks_and_intervals():
    assert fmt.number(None) == "–"
    assert fmt.number(row(math.nan)) == "–"
    assert fmt.number(row(0.5)) == ".500"
    assert fmt.number(row(0.5, 0.4, 0.6), mark="†") == ".500† [.400, .600]"
    assert fmt.number(row(-0.5, -0.6, 0.1), sign=True, bold=True) == "**-.500** [-.600, +.100]"


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
    ],
)
def test_a_gap_is_bold_only_if_interval_and_test_agree(gap, p, expected):
    assert fmt.significant(gap, p) is expected


def test_names_cannot_break_a_table():
    assert fmt.escape("a|b\n*c* <d> [e]") == "a\\|b \\*c\\* \\<d\\> \\[e\\]"
