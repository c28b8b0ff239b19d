"""The table that a run ends with."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vlmbench.metrics import StatRow
from vlmbench.report import readings_terminal, terminal


def drawn(rows, *, width=100, draw=terminal, **names):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(draw(rows, **names))
    return console.file.getvalue()


def test_a_line_per_task_with_signed_gaps(run_folder):
    text = drawn(run_folder().rows)
    (head,) = [line for line in text.splitlines() if "Chance" in line]
    assert head.split() == [
        *("Task", "n", "Chance", "Blind", "VQA", "Encoder", "Gap", "[95%", "interval]", "p"),
        *("Least", "gap", "Abst."),
    ]
    (depth,) = [line for line in text.splitlines() if "depth" in line]
    cells = depth.split()
    assert cells[:3] == ["depth", "120", ".500"]
    assert cells[6].startswith("+.")
    assert cells[7].startswith("[+.")
    assert cells[-3] == "<.001"
    assert 0.1 < float(cells[-2]) < 0.2
    assert cells[-1] == ".000"


def test_it_fits_a_hundred_columns_and_keeps_every_number(run_folder):
    long = "worlds_semantic_correspondence_of_many_words_and_then_some"
    rows = run_folder(models=("tiny-a", "a-model-with-a-name-longer-than-any-column")).rows
    text = drawn(rows, aliases={"depth": long})
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert text.count("[+.") == 6


LONG = (
    "worlds_semantic_correspondence_generate_of_many_words_and_then_some",
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct-with-a-longer-name-than-any",
)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_names_are_whole_at_any_width(run_folder, width):
    task, model = LONG
    text = drawn(run_folder(models=("tiny-a", model)).rows, width=width, aliases={"depth": task})
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    assert words.count(model) == 1
    assert words.count(task) == 2
    assert text.count("[+.") == 6
    assert ("Not shown, because there is no room: Least gap" in text) == (width == 80)


def test_what_a_gap_can_be_read_without_goes_first(run_folder):
    aliases = {"depth": "semantic_correspondence"}
    (head,) = [line for line in drawn(run_folder().rows, width=80, aliases=aliases).splitlines()
               if "Blind" in line]  # fmt: skip
    assert head.split() == [
        *("Task", "Chance", "Blind", "VQA", "Encoder", "Gap", "[95%", "interval]"),
    ]


def test_models_are_parts_in_the_order_of_the_rows(run_folder):
    text = drawn(run_folder(models=("zebra", "ant")).rows, aliases={"ant": "The Ant"})
    assert text.index("zebra") < text.index("The Ant")
    assert text.count("matching") == 2


def test_recorded_numbers_stand_beside_vqa(run_folder):
    folder = run_folder(tasks=("depth",))
    folder.record("human", "depth", 0.95)
    last = [line for line in drawn(folder.rows).splitlines() if ".950" in line]
    assert [line.split() for line in last] == [["depth", "–", "–", "–", ".950", *["–"] * 5]]


def test_a_blind_answer_is_never_shown_as_vqa(run_folder):
    rows = [row for row in run_folder(tasks=("depth",)).rows if row.condition == "blank"]
    (line,) = [line for line in drawn(rows).splitlines() if "depth" in line]
    assert line.split()[4:] == ["–"] * 6


def test_failures_are_told_below(run_folder, rows_with_failures):
    text = " ".join(drawn(rows_with_failures("tiny-a", "depth", 9)).split())
    assert "tiny-a on depth (own, encoder): 9 of 120 documents failed and are left out" in text
    assert "failed" not in drawn(run_folder().rows)


def test_written_answers_are_shown_with_and_without_what_is_unread(run_folder):
    folder = run_folder(models=("tiny-a", "tiny-b"), tasks=("depth", "naming"))
    folder.answer_in_writing("tiny-a", "depth", unread=60)
    text = drawn(folder.rows)
    (head,) = [line for line in text.splitlines() if "Encoder" in line]
    assert head.split()[-5:] == ["Abst.", "VQA", "ans.", "Gap", "ans."]
    lines = [line.split() for line in text.splitlines()]
    written, likelihoods = [cells for cells in lines if cells[:1] == ["depth"]]
    found = {row.key[2:]: row.value for row in folder.rows if row.key[:2] == ("tiny-a", "depth")}
    expected = (
        found["own", "prompted", "abstention"],
        found["own", "prompted", "accuracy_answered"],
        found["own", "encoder-prompted", "gap_answered"],
    )
    assert [float(cell) for cell in written[-3:]] == pytest.approx(expected, abs=5e-4)
    assert likelihoods[-2:] == ["–", "–"]
    assert max(map(len, text.splitlines())) <= 100
    words = " ".join(text.split())
    assert "tiny-a on depth: the gap is +.4" in words
    assert "among the 60 of 120 documents that were answered. The two disagree" in words
    assert "tiny-b on depth: the gap" not in words


def test_without_written_answers_nothing_speaks_of_them(run_folder):
    assert "ans." not in drawn(run_folder().rows)


@pytest.mark.parametrize(("mass", "low", "warned"), [(0.9, 0.7, False), (0.03, 0.01, True)])
def test_choices_that_a_model_would_not_write_are_told(run_folder, mass, low, warned):
    folder = run_folder(tasks=("depth",))
    folder.unlikely("tiny-a", "depth", mass, low)
    text = " ".join(drawn(folder.rows).split())
    note = "tiny-a on depth (own, prompted): the choices together have a probability of only .030"
    assert (note in text) == warned


def test_an_encoder_read_in_another_way_is_no_answer_of_the_model():
    """Without a prompted reading the column of answers stays empty."""
    rows = [
        StatRow(
            model="m", task="odd", condition="own", readout=readout, metric="accuracy",
            value=value, low=value - 0.1, high=value + 0.1, n=50, coverage=1.0,
        )
        for readout, value in (("encoder", 0.8), ("encoder-mean", 0.4))
    ]  # fmt: skip
    (line,) = (line for line in drawn(rows).splitlines() if "odd" in line)
    assert ".800" in line
    assert ".400" not in line
    ways = drawn(rows, draw=readings_terminal)
    assert ".800" in ways
    assert ".400" in ways
    assert readings_terminal(rows[:1]) is None
