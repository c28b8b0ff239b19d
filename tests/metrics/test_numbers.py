"""How numbers are written."""

from __future__ import annotations

import math

import pytest

from vlmbench.metrics import (
    StatRow,
    above,
    brief,
    clear_of_zero,
    number,
    p_value,
    rate,
    signed,
    sized,
    told,
)
from vlmbench.types import Stat


def stat(value, low=math.nan, high=math.nan):
    return Stat(value=value, low=low, high=high, n=10)


@pytest.mark.parametrize(
    ("value", "plain", "difference"),
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
def test_rates_have_three_decimals_and_no_leading_zero(value, plain, difference):
    assert rate(value) == plain
    assert signed(value) == difference


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "<.001"), (0.00099, "<.001"), (0.001, ".001"), (0.5, ".500"), (math.nan, "–")],
)
def test_p_values_are_never_zero(value, text):
    assert p_value(value) == text


def test_numbers_carry_marks_and_intervals():
    assert number(None) == "–"
    assert number(stat(math.nan)) == "–"
    assert number(stat(0.5)) == ".500"
    cell = {"model": "m", "task": "t", "condition": "own", "readout": "r", "metric": "x"}
    assert number(StatRow.of(stat(0.5, 0.4, 0.6), **cell)) == ".500 [.400, .600]"
    assert number(stat(0.5, 0.4, 0.6), mark="†") == ".500† [.400, .600]"
    assert number(stat(0.5, 0.4, 0.6), mark="†", interval=False) == ".500†"
    assert number(stat(-0.5, -0.6, 0.1), sign=True, bold=True) == "**-.500** [-.600, +.100]"


@pytest.mark.parametrize("value", [0.0, 0.0004, -0.0004])
def test_what_rounds_to_zero_is_never_bold(value):
    assert number(stat(value, value, value), bold=True) == ".000 [.000, .000]"
    assert number(stat(value, value, value), bold=True, sign=True) == ".000 [.000, .000]"
    assert number(stat(value + 0.001), bold=True).startswith("**")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.56, "1235"),
        (99.5, "99.500"),
        (0.01, ".010"),
        (0.004, ".004"),
        (-0.0041, "-.0041"),
        (0.00001, "1.0e-05"),
        (0.0, ".000"),
        (math.nan, "–"),
    ],
)
def test_numbers_of_many_units_have_the_digits_their_size_asks_for(value, text):
    assert sized(stat(value)) == text


def test_sentences_have_significant_digits():
    assert told(stat(0.45, 0.4, 0.5)) == "0.45 [0.4, 0.5]"
    assert told(stat(1.23456, 0.001234, 1234.5)) == "1.23 [0.00123, 1.23e+03]"
    assert told(stat(0.5)) == "0.5"
    assert brief(1e-6) == "1e-06"
    assert brief(0.0123) == "0.012"


def test_decimals_can_be_fewer():
    assert (rate(0.126, 2), rate(-0.001, 2), rate(None, 2)) == (".13", ".00", "–")


def test_rounding_is_not_above_zero():
    assert not above(3e-18)
    assert not above(0.5 + 1e-12, 0.5)
    assert above(1e-6)
    assert not above(math.nan)


@pytest.mark.parametrize(
    ("low", "high", "clear"),
    [
        (3e-18, 0.2, False),
        (0.0004, 0.2, False),
        (0.0006, 0.2, True),
        (-0.2, -0.0004, False),
        (-0.2, -0.01, True),
        (-0.1, 0.1, False),
        (math.nan, math.nan, False),
    ],
)
def test_an_end_that_is_written_as_zero_does_not_leave_zero_out(low, high, clear):
    assert clear_of_zero(stat(0.1, low, high)) is clear
