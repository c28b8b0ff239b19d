"""Rows of stats.json: exactly ten keys, and null for what is not defined."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmbench.metrics import StatRow, dump_rows, load_rows
from vlmbench.types import Stat, VlmbenchError

WHERE = {"model": "m", "task": "t", "condition": "own", "readout": "prompted", "metric": "p"}
ROW = StatRow.of(Stat(value=0.5, n=4), **WHERE)


def test_a_row_has_exactly_the_ten_keys():
    assert list(ROW.to_json()) == [
        *("model", "task", "condition", "readout", "metric"),
        *("value", "low", "high", "n", "coverage"),
    ]


def test_what_is_not_defined_is_null_and_comes_back():
    text = dump_rows([ROW])
    assert "NaN" not in text
    assert json.loads(text)[0]["low"] is None
    (back,) = load_rows(text)
    assert math.isnan(back.low)
    assert back.to_json() == ROW.to_json()


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=4, max_size=4),
    n=st.none() | st.integers(1, 10**6),
    name=st.text(),
)
def test_every_row_survives_the_way_through_json(values, n, name):
    numbers = dict(zip(("value", "low", "high", "coverage"), values, strict=True))
    row = StatRow(**{**WHERE, "model": name}, **numbers, n=n)
    (back,) = load_rows(dump_rows([row]))
    assert back.to_json() == row.to_json()
    assert back.key == row.key


def test_no_rows_are_an_empty_list():
    assert load_rows(dump_rows([])) == ()


def test_every_problem_of_every_row_is_told():
    data = [
        {**ROW.to_json(), "value": "high", "extra": 1},
        {key: value for key, value in ROW.to_json().items() if key != "n"},
        {**ROW.to_json(), "n": 2.5, "model": 3, "coverage": True},
    ]
    with pytest.raises(VlmbenchError) as caught:
        load_rows(json.dumps(data), file="stats.json")
    assert {problem.field for problem in caught.value.problems} == {
        *("value", "extra", "n", "model", "coverage")
    }
    assert len(caught.value.problems) == 6
    assert all(problem.file == "stats.json" for problem in caught.value.problems)
    with pytest.raises(VlmbenchError, match="'high' is not a number"):
        StatRow.from_json(data[0])


@pytest.mark.parametrize("text", ["{}", "[1]", '{"rows": []}'])
def test_anything_but_a_list_of_rows_is_refused(text):
    with pytest.raises(VlmbenchError, match="expected a list of rows"):
        load_rows(text)


def test_broken_json_names_its_line():
    with pytest.raises(VlmbenchError, match=r"stats\.json:2"):
        load_rows("[\n{,\n]", file="stats.json")
