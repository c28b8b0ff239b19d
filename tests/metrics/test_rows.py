"""Rows of stats.json: exactly ten keys, and null for what is not defined."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmbench.metrics import StatRow, dump_rows, load_rows
from vlmbench.types import Stat, VlmbenchError, plain

WHERE = {"model": "m", "task": "t", "condition": "own", "readout": "prompted", "metric": "accuracy"}
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


RATES = st.floats(0, 1)


@given(
    ends=st.none() | st.tuples(RATES, RATES, RATES).map(sorted),
    n=st.none() | st.integers(1, 10**6),
    coverage=RATES,
    name=st.text().filter(lambda text: plain(text) == text and "\n" not in text),
)
def test_every_row_survives_the_way_through_json(ends, n, coverage, name):
    low, value, high = ends or [math.nan] * 3
    where = {**WHERE, "model": name, "metric": "accuracy_answered"}
    row = StatRow(**where, value=value, low=low, high=high, coverage=coverage, n=n)
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


@pytest.mark.parametrize(
    ("metric", "changes", "field"),
    [
        ("accuracy", {"value": 7.0}, "value"),
        ("accuracy", {"value": -0.1}, "value"),
        ("accuracy", {"value": None}, "value"),
        ("accuracy", {"low": 0.9, "high": 0.1}, "value"),
        ("accuracy", {"low": 0.6, "high": 0.7}, "value"),
        ("accuracy", {"low": 0.2}, "high"),
        ("accuracy", {"low": -0.5, "high": 0.7}, "low"),
        ("accuracy", {"coverage": 9.0}, "coverage"),
        ("accuracy", {"coverage": None}, "coverage"),
        ("accuracy", {"n": -5}, "n"),
        ("accuracy", {"n": 0}, "n"),
        ("accuracy", {"n": 10**400}, "n"),
        ("accuracy", {"value": 10**400}, "value"),
        ("accuracy_corrected", {"value": 1.2}, "value"),
        ("gap", {"value": 3.0}, "value"),
        ("gap", {"value": None}, "value"),
        ("gap_corrected", {"value": -1e300}, "value"),
        ("lost_view", {"value": -1.5}, "value"),
        ("mcnemar_p", {"value": 2.0}, "value"),
        ("flip_p_answered", {"value": -1.0}, "value"),
        ("failed", {"value": 0.5}, "value"),
        ("failed", {"value": 5.0}, "value"),
        ("tv", {"value": 4.0}, "value"),
        ("acc", {}, "metric"),
        ("accuracy", {"readout": "x\n# heading"}, "readout"),
        ("accuracy", {"condition": "\u202eown"}, "condition"),
        ("accuracy", {"condition": "\ud800"}, "condition"),
        ("accuracy", {"task": "a\0b"}, "task"),
    ],
)
def test_what_no_documents_could_give_is_refused(metric, changes, field):
    row = {**ROW.to_json(), "metric": metric, "value": 1.0 if metric == "failed" else 0.5}
    load_rows(json.dumps([row | {"metric": "accuracy"}]))
    with pytest.raises(VlmbenchError) as caught:
        load_rows(json.dumps([row | changes]), file="stats.json")
    (problem,) = caught.value.problems
    assert (problem.file, problem.field) == ("stats.json", field)
    assert len(str(problem)) < 5_000


@pytest.mark.parametrize("written", ["NaN", "Infinity", "-Infinity", "1" * 5_000, "[" * 100_000])
def test_what_is_no_number_of_json_is_refused(written):
    text = json.dumps([{**ROW.to_json(), "value": "?"}]).replace('"?"', written)
    with pytest.raises(VlmbenchError):
        load_rows(text)


def test_ends_and_values_may_differ_by_rounding():
    close = {"value": 1.0, "low": 0.9, "high": 1.0 - 1e-12}
    (row,) = load_rows(json.dumps([ROW.to_json() | close]))
    assert row.high < row.value
