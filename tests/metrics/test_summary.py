"""The fake suite, end to end: every row of one model on one task."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from home import keyed

from vlmbench.metrics import dump_rows, load_rows, summarise, summarise_recorded
from vlmbench.types import ComparisonError

SINGLE = ["accuracy", "accuracy_corrected", "abstention", "chance", "majority", "failed"]

PAIRED = ["gap", "gap_corrected", "smallest_gap", "mcnemar_p"]


def rows_of(cells, **where):
    rows = summarise(keyed(cells), model="fake", task="suite", seed=0)
    keys = [row.key for row in rows]
    assert len(set(keys)) == len(keys)
    assert dump_rows(load_rows(dump_rows(rows))) == dump_rows(rows)  # all are possible numbers
    return {(row.condition, row.readout, row.metric): row for row in rows}


@pytest.fixture
def cells(readouts):
    """Readings that no text was read for, every document answered."""
    votes = {
        ("own", "encoder"): readouts.oracle(),
        ("blank", "encoder"): readouts.uniform(),
        ("blank", "prompted"): readouts.constant(0),
        ("own", "prompted"): readouts.noisy(0.7, seed=1),
    }
    return {cell: replace(scores, scale="similarity") for cell, scores in votes.items()}


def test_free_text_gives_nothing_that_supposes_choices(readouts):
    text = replace(readouts.voting(readouts.oracle().gold), scale="credit")
    cells = {("own", "prompted"): text, ("blank", "prompted"): text}
    assert {metric for _, _, metric in rows_of(cells)} == {
        "accuracy", "abstention", "accuracy_answered", "failed",
    }  # fmt: skip


def test_text_and_unread_answers_give_rows_without_them_and_nothing_else_changes(cells):
    before = rows_of(cells)
    assert not [metric for _, _, metric in before if "answered" in metric]
    asked = cells["own", "prompted"]
    cells["own", "prompted"] = replace(asked, scale="vote")
    read = rows_of(cells)
    added = {key for key in read if key not in before}
    assert added == {
        ("own", "prompted", "accuracy_answered"),
        ("own", "encoder-prompted", "gap_answered"),
        ("own", "encoder-prompted", "mcnemar_p_answered"),
    }
    assert all(read[key].to_json() == before[key].to_json() for key in before)
    for added_metric, metric in (("gap_answered", "gap"), ("mcnemar_p_answered", "mcnemar_p")):
        row, other = (read["own", "encoder-prompted", name] for name in (added_metric, metric))
        assert (row.value, row.low, row.high, row.n) == pytest.approx(
            (other.value, other.low, other.high, other.n), nan_ok=True
        )
    unread = np.arange(len(asked)) == 7
    cells["own", "prompted"] = replace(asked, abstained=unread)  # likelihoods, one of them missing
    assert rows_of(cells).keys() == read.keys()


def test_unread_answers_open_a_gap_that_the_answered_ones_do_not_show(cells, readouts):
    """A model that is as good as its encoder wherever it can be read, and unread half the time."""
    right = replace(readouts.oracle(), scale="vote", abstained=np.arange(240) % 2 == 0)
    rows = rows_of({("own", "prompted"): right, ("own", "encoder"): cells["own", "encoder"]})
    gap, answered = (rows["own", "encoder-prompted", name] for name in ("gap", "gap_answered"))
    assert (gap.value, gap.n, gap.coverage) == (0.5, 240, 0.5)
    assert (answered.value, answered.n, answered.coverage) == (0.0, 120, 0.5)
    # Tango's interval where no document is discordant: +-z^2 / (n + z^2), not a point.
    half = 1.959964**2 / (120 + 1.959964**2)
    assert (answered.low, answered.high) == pytest.approx((-half, half), abs=1e-6)
    assert rows["own", "encoder-prompted", "mcnemar_p"].value < 1e-6
    assert rows["own", "encoder-prompted", "mcnemar_p_answered"].value == 1.0
    assert rows["own", "prompted", "accuracy"].value == 0.5
    assert rows["own", "prompted", "accuracy_answered"].value == 1.0


def test_every_row_is_there_in_an_order_that_depends_on_names_only(cells):
    rows = summarise(keyed(cells), model="fake", task="suite", seed=0)
    order = [("own", "prompted"), ("own", "encoder"), ("blank", "prompted"), ("blank", "encoder")]
    expected = [(*cell, metric) for cell in order for metric in SINGLE]
    expected += [("own", "encoder-prompted", metric) for metric in PAIRED]
    expected += [(c, "prompted", "tv") for c in ("own|blank", "own|truth", "blank|truth")]
    assert [(row.condition, row.readout, row.metric) for row in rows] == expected
    turned = dict(reversed(cells.items()))
    again = summarise(keyed(turned), model="fake", task="suite", seed=0)
    assert dump_rows(again) == dump_rows(rows)


def test_the_numbers_are_the_known_ones(cells, readouts):
    rows = rows_of(cells)
    level = np.mean(1 / readouts.n_choices)
    most = np.bincount(readouts.gold).max() / len(readouts)
    assert rows["own", "encoder", "accuracy"].value == 1.0
    assert rows["blank", "encoder", "accuracy"].value == pytest.approx(level)
    assert rows["blank", "encoder", "accuracy_corrected"].value == 0.0
    vqa = rows["own", "prompted", "accuracy"].value
    assert vqa == pytest.approx(0.7, abs=0.1)
    assert rows["own", "encoder-prompted", "gap"].value == pytest.approx(1 - vqa)
    assert rows["own", "encoder-prompted", "mcnemar_p"].value < 1e-6
    assert math.isnan(rows["own", "encoder-prompted", "mcnemar_p"].low)
    assert rows["own", "prompted", "chance"].value == pytest.approx(level)
    assert rows["own", "prompted", "majority"].value == pytest.approx(most)
    blind = rows["blank", "prompted", "accuracy"].value
    assert rows["blank|truth", "prompted", "tv"].value == pytest.approx(1 - blind)


def test_shared_images_give_effective_numbers_and_another_test(cells):
    together = np.arange(240) // 3 * 3
    cells = {key: replace(scores, clusters=together) for key, scores in cells.items()}
    rows = rows_of(cells)
    assert ("own", "encoder-prompted", "mcnemar_p") not in rows
    assert 0 < rows["own", "encoder-prompted", "flip_p"].value < 0.001
    # Answers that were drawn document by document are worth about as many as there are.
    assert 150 < rows["own", "prompted", "effective_n"].value <= 240
    assert 150 < rows["own", "encoder-prompted", "effective_n"].value <= 240
    # The oracle is right throughout, and so shows nothing of how alike the documents are.
    assert rows["own", "encoder", "effective_n"].value == pytest.approx(80, abs=3)


def test_an_abstainer_is_worth_nothing_and_says_so(readouts):
    rows = rows_of({("own", "prompted"): readouts.abstainer()})
    assert rows["own", "prompted", "accuracy"].value == 0.0
    assert rows["own", "prompted", "accuracy"].coverage == 0.0
    assert rows["own", "prompted", "abstention"].value == 1.0
    assert rows["own|truth", "prompted", "tv"].value == pytest.approx(1.0)


def test_a_missing_cell_takes_only_its_own_rows_away(cells):
    whole = rows_of(cells)
    del cells["own", "encoder"]
    part = rows_of(cells)
    gone = {key for key in whole if key not in part}
    assert gone == {
        *(("own", "encoder", metric) for metric in SINGLE),
        *(("own", "encoder-prompted", metric) for metric in PAIRED),
    }
    assert all(part[key].to_json() == whole[key].to_json() for key in part)


def test_failed_documents_are_a_row_of_their_own(cells, with_failures):
    cells["own", "encoder"] = with_failures(cells["own", "encoder"], 1, 2, 3)
    rows = rows_of(cells)
    assert (rows["own", "encoder", "failed"].value, rows["own", "encoder", "failed"].n) == (3, 240)
    assert rows["own", "encoder", "accuracy"].n == 237
    assert rows["own", "encoder-prompted", "gap"].n == 237
    assert rows["own", "prompted", "accuracy"].n == 240
    assert rows["own", "prompted", "failed"].value == 0


def test_a_cell_that_failed_whole_has_no_accuracy_rather_than_zero(cells, with_failures):
    cells["own", "encoder"] = with_failures(cells["own", "encoder"], *range(240))
    rows = rows_of(cells)
    assert [key for key in rows if key[:2] == ("own", "encoder")] == [("own", "encoder", "failed")]
    assert ("own", "encoder-prompted", "gap") not in rows
    assert ("own|blank", "prompted", "tv") in rows


def test_ties_on_every_document_leave_no_p_value(readouts):
    rows = rows_of(
        {("own", "encoder"): readouts.uniform(), ("own", "prompted"): readouts.noisy(0.5, seed=1)}
    )
    p = rows["own", "encoder-prompted", "mcnemar_p"]
    assert math.isnan(p.value)
    assert p.to_json()["value"] is None


def test_cells_of_other_documents_are_refused_by_name(cells):
    cells["blank", "encoder"] = cells["blank", "encoder"].take(np.arange(200))
    with pytest.raises(ComparisonError, match="blank/prompted and blank/encoder do not cover"):
        summarise(keyed(cells), model="fake", task="suite", seed=0)


def test_permuted_choices_are_refused_rather_than_compared(cells):
    scores = cells["own", "encoder"]
    cells["own", "encoder"] = replace(scores, gold=(scores.gold + 1) % scores.n_choices)
    with pytest.raises(ComparisonError, match="Undo choice permutations"):
        summarise(keyed(cells), model="fake", task="suite", seed=0)


def test_a_published_number_keeps_what_it_does_not_say_unknown():
    accuracy, corrected = summarise_recorded(
        model="human", task="suite", readout="human", value=0.75, chance=0.25
    )
    assert accuracy.key == ("human", "suite", "own", "human", "accuracy")
    numbers = {name: accuracy.to_json()[name] for name in ("value", "low", "high", "n")}
    assert numbers == {"value": 0.75, "low": None, "high": None, "n": None}
    assert (corrected.metric, corrected.n) == ("accuracy_corrected", None)
    assert corrected.value == pytest.approx(2 / 3)


def test_cells_of_some_documents_give_their_own_rows_and_are_compared_with_nothing(cells):
    some = {("swapped", "prompted"): cells["own", "prompted"].take(np.arange(5))}
    with pytest.raises(ComparisonError):
        summarise(keyed(cells | some), model="fake", task="suite", seed=0)
    rows = summarise(keyed(cells | some), model="fake", task="suite", seed=0, partial=keyed(some))
    without = summarise(keyed(cells), model="fake", task="suite", seed=0)
    own = [row for row in rows if row.condition == "swapped"]
    assert [row.metric for row in own] == SINGLE
    assert {row.n for row in own} == {5}
    assert dump_rows([row for row in rows if row not in own]) == dump_rows(without)


def test_a_partial_own_cell_gives_no_gap(cells):
    key = ("own", "prompted")
    capped = cells | {key: cells[key].take(np.arange(5))}
    rows = summarise(keyed(capped), model="fake", task="suite", seed=0, partial=keyed([key]))
    assert not {"gap", "mcnemar_p"} & {row.metric for row in rows}
    assert [row.condition for row in rows if row.metric == "tv"] == ["blank|truth"]
