"""Tables that fit themselves to the console: what goes first, and what is never broken."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vlmbench.report import Column, Layout

COLUMNS = (
    Column(head="name"),
    Column(head="n", right=True, spare=1),
    Column(head="why", wraps=True, spare=2),
    Column(head="also", spare=3),
)
ROWS = [
    ["The first part"],
    ["short", "12", "it has reasons of its own, and many of them at that", "HuggingFaceTB/Smol"],
    ["another", "3", "none", ""],
    ["The second part"],
    ["last", "", "a word", "x"],
]


def drawn(width: int, rows=ROWS, columns=COLUMNS) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(Layout(columns=columns, rows=rows), crop=False)
    return console.file.getvalue().splitlines()


def test_on_a_wide_console_every_row_is_one_line():
    assert drawn(200) == [
        "name      n  why                                                  also",
        "─" * 84,
        "The first part",
        "short    12  it has reasons of its own, and many of them at that  HuggingFaceTB/Smol",
        "another   3  none",
        "",
        "The second part",
        "last         a word                                               x",
    ]


def test_prose_is_wrapped_before_anything_is_left_out():
    lines = drawn(60)
    assert max(map(len, lines)) <= 60
    assert lines[3:5] == [
        "short    12  it has reasons of its own,   HuggingFaceTB/Smol",
        "             and many of them at that",
    ]
    assert not any("Not shown" in line for line in lines)


@pytest.mark.parametrize(
    ("width", "left_out"), [(50, "also"), (30, "why, also"), (10, "n, why, also")]
)
def test_columns_go_in_their_order_and_the_table_says_so(width, left_out):
    lines = drawn(width)
    text = " ".join(" ".join(lines).split())
    assert text.partition("Not shown, because there is no room: ")[2] == left_out
    heads = [column.head for column in COLUMNS if column.head not in left_out.split(", ")]
    assert lines[0].split() == heads


def test_a_name_too_long_for_its_column_stands_on_a_line_of_its_own():
    long = "blink_functional_correspondence_generate_with_more"
    columns = (Column(head="task"), *(Column(head=h, right=True) for h in ("chance", "accuracy")))
    lines = drawn(60, [[long, ".250", ".512"], ["depth", ".500", ".733"]], columns)
    assert lines[2] == long
    assert lines[3].split() == [".250", ".512"]
    assert lines[4].split() == ["depth", ".500", ".733"]
    assert len(lines[3]) == len(lines[4]) <= 60


def test_no_column_is_left_out_for_a_long_name_that_gains_nothing_by_it():
    lines = drawn(50, [["x" * 60, "1", "why", "also"], ["y", "2", "why", "also"]])
    assert lines[0].split() == ["name", "n", "why", "also"]
    assert "x" * 60 in lines  # beyond the edge, but whole


@given(
    st.integers(30, 170),
    st.lists(
        st.tuples(
            st.text("abc-/", min_size=1, max_size=70),
            st.text("0123456789", min_size=1, max_size=5),
            st.lists(st.text("abc", min_size=1, max_size=12), max_size=20).map(" ".join),
            st.text("de_", max_size=40),
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_names_are_whole_and_lines_fit_at_any_width(width, rows):
    lines = drawn(width, rows)
    assert all(len(line) <= width or line in {row[0] for row in rows} for line in lines)
    words = [word for line in lines for word in line.split()]
    assert all(row[0] in words for row in rows)
    missing = {word for _, *cells in rows for cell in cells for word in cell.split()} - {*words}
    assert any("Not shown" in line for line in lines) or not missing


def test_a_table_without_rows_has_its_heads():
    assert drawn(80, [])[0].split() == ["name", "n", "why", "also"]
