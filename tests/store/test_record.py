"""Records keep every score and what they were made from, and half a record is none."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import handmade
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmbench.store import Record, Versions
from vlmbench.types import ChoiceScores, VlmbenchError

SCORES = ChoiceScores(
    doc_ids=("a", "b", "c", "d"),
    gold=np.array([0, 1, 2, 0]),
    n_choices=np.array([2, 3, 3, 2]),
    scores=np.array(
        [[-0.1, -2.0, -np.inf], [-1.0, -1.0, -3.0], [-np.inf] * 3, [-np.inf] * 3]
    ),
    scale="logprob",
    abstained=np.array([False, False, True, False]),
    failed=np.array([False, False, False, True]),
)  # fmt: skip


def write(record: Record, basis=None, exchanges=None, **changes) -> None:
    said = {"weights": {}, "fitted": {}, "notes": {}} | changes
    record.write(basis or handmade.basis(), SCORES, exchanges or handmade.exchanges(4), **said)


@pytest.fixture
def record(tmp_path) -> Record:
    return Record(tmp_path / "deep" / "cell.parquet")


def rewritten(record: Record, **changes) -> None:
    """Change what a record says about itself."""
    table = pq.read_table(record.path)
    said = json.loads(table.schema.metadata[b"vlmbench"])
    said = {key: value for key, value in (said | changes).items() if value is not None}
    pq.write_table(table.replace_schema_metadata({b"vlmbench": json.dumps(said)}), record.path)


def test_scores_come_back_bit_for_bit(record):
    write(record)
    back = record.scores()
    assert back.doc_ids == SCORES.doc_ids
    assert back.scale == "logprob"
    for name in ("gold", "n_choices", "scores", "abstained", "failed"):
        np.testing.assert_array_equal(getattr(back, name), getattr(SCORES, name))
    held = pq.read_table(record.path).to_pydict()
    assert held["credit"] == [1.0, 0.5, 0.0, None]
    assert held["prompt"] == ["p0", "p1", "p2", "p3"]
    assert record.internals() is None


def test_clusters_come_back_and_records_from_before_them_have_none(record):
    grouped = replace(SCORES, clusters=np.array([0, 1, 0, 1]))
    record.write(handmade.basis(), grouped, handmade.exchanges(4), weights={}, fitted={}, notes={})
    assert record.scores().clusters.tolist() == [0, 1, 0, 1]
    pq.write_table(pq.read_table(record.path).drop_columns(["cluster"]), record.path)
    rewritten(record)
    assert record.scores().clusters is None
    write(record)
    assert record.scores().clusters is None


def test_hint_targets_come_back(record):
    write(record, exchanges=handmade.exchanges(4, hint_targets=[1, 0, -1, 1]))
    assert record.hint_targets().tolist() == [1, 0, -1, 1]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Which?\n(A) cat\n(B) dog\nAnswer:", ["cat", "dog", "cat", "dog"]),
        ("Which? A. a cat B. a dog", ["a cat", "a dog", "a cat", "a dog"]),
        ("A point, labeled by A. What is at A?\n(A) cat\n(B) dog", ["cat", "dog", "cat", "dog"]),
        ("Which?", ["A", "B", "A", "B"]),
        ("", ["A", "B", "A", "B"]),
    ],
)
def test_what_the_right_choice_says_is_what_the_prompt_lists_beside_it(record, prompt, said):
    asked = [replace(one, prompt=prompt) for one in handmade.exchanges(4)]
    held = replace(SCORES, gold=np.array([0, 1, 0, 1]))
    record.write(handmade.basis(), held, asked, weights={}, fitted={}, notes={})
    assert list(record.answers()) == said


@pytest.mark.parametrize(
    "label", ["own", "blank-noise", "blur-0.25+seed-7", "own+hint-right-weak", "own+random+single"]
)
def test_what_a_record_is_of_comes_back_as_it_was(record, label):
    basis = handmade.basis("some/model", label=label)
    fitted = {"steps": 3, "loss": [0.5, math.inf]}
    write(record, basis, weights={"model": "w"}, fitted=fitted, notes={"usd": 0.25})
    about = record.require()
    assert about.basis == basis
    assert about.basis.condition.label == label
    assert about.is_current(basis)
    assert (about.weights, about.fitted, about.notes) == ({"model": "w"}, fitted, {"usd": 0.25})


@pytest.mark.parametrize(
    "change",
    [
        {"key": "another"},
        {"documents": "another"},
        {"fitted_on": "another"},
        {"checkpoint": (("some/model", "main"), (("config.json", 12, 345),))},
        {"checkpoint": (("some/model", None), (("config.json", 12, 346),))},
        {"device": "cuda"},
        {"dtype": "torch.float16"},
        {"versions": Versions(vlmbench="0.1.0", metrics=2, numpy="2", torch=None)},
        {"versions": Versions(vlmbench="0.1.0", metrics=1, numpy="2", torch="3")},
    ],
)
def test_a_record_made_from_anything_else_is_not_current(record, change):
    write(record)
    assert record.require().is_current(handmade.basis())
    assert not record.require().is_current(handmade.basis(**change))


def test_a_record_that_lacks_a_servers_answer_is_not_current(record):
    write(record, notes={"unanswered": 0})
    assert record.require().is_current(handmade.basis())
    write(record, notes={"unanswered": 1})
    assert not record.require().is_current(handmade.basis())


def test_half_a_record_is_none(record):
    assert record.about() is None
    with pytest.raises(VlmbenchError, match="the record is missing"):
        record.require()
    write(record)
    whole = record.path.read_bytes()
    for size in (0, 3, len(whole) // 2, len(whole) - 40, len(whole) - 1):
        record.path.write_bytes(whole[:size])
        assert record.about() is None
        with pytest.raises(VlmbenchError, match="the record is damaged"):
            record.scores()
    record.path.write_bytes(whole)
    assert record.about() is not None


def test_a_record_of_which_a_column_has_lost_its_name_is_damaged(record):
    """One without clusters would pass for one whose documents count each by itself."""
    grouped = replace(SCORES, clusters=np.array([0, 1, 0, 1]))
    record.write(handmade.basis(), grouped, handmade.exchanges(4), weights={}, fitted={}, notes={})
    whole = record.path.read_bytes()
    assert record.scores().clusters is not None
    record.path.write_bytes(whole.replace(b"\x07cluster", b"\x07clustes"))
    with pytest.raises(VlmbenchError, match="the record is damaged"):
        record.check()


def test_a_write_that_fails_leaves_the_old_record(record):
    write(record)
    whole = record.path.read_bytes()
    with pytest.raises(ValueError, match="expected length 4"):
        write(record, handmade.basis(key="another"), handmade.exchanges(3))
    assert record.path.read_bytes() == whole


@pytest.mark.parametrize(("written", "told"), [(None, "format 0"), (2, "format 2")])
def test_a_record_in_another_format_is_not_there_and_says_why(record, written, told):
    write(record)
    rewritten(record, format=written)
    assert record.about() is None
    with pytest.raises(VlmbenchError, match=f"{told}, and this version of vlmbench reads 1") as no:
        record.scores()
    assert "run the study again" in no.value.problems[0].remedy


def test_a_record_that_does_not_say_what_it_is_of_is_damaged(record):
    write(record)
    rewritten(record, basis=None)
    with pytest.raises(VlmbenchError, match="damaged: basis: Field required"):
        record.require()


def test_no_flipped_bit_gives_other_scores(record):
    """Every third byte of what the file says about itself, where pages have no checksum."""
    write(record)
    data = record.path.read_bytes()
    whole = (record.scores().scores.tolist(), record.scores().doc_ids, record.errors())
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for place in range(start, len(data), 3):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        record.path.write_bytes(flipped)
        try:
            record.check()
            found = (record.scores().scores.tolist(), record.scores().doc_ids, record.errors())
        except VlmbenchError:
            continue
        assert found == whole, place


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("scores", [float("nan"), 0.0]), ("scores", [float("inf"), 0.0]), ("scores", []),
        ("scores", None), ("gold", 7), ("gold", None), ("gold", -1), ("doc_id", None),
        ("cluster", 2),
    ],
)  # fmt: skip
def test_what_no_model_gives_is_refused(record, column, value):
    write(record)
    table = pq.read_table(record.path)
    values = table[column].to_pylist()
    values[0] = value
    kind = table.schema.field(column).type
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, pa.array(values, kind)), record.path)
    with pytest.raises(VlmbenchError, match="the record is damaged"):
        record.scores()
