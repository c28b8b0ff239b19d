"""Answers come back from a journal as they were kept, and batches no larger than fitted."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from vlmbench.models import BatchSize, HeadAttention, Inside
from vlmbench.readouts import Answer
from vlmbench.run._ledger import JournalLedger
from vlmbench.store import Journal
from vlmbench.types import VlmbenchError

RNG = np.random.default_rng(1)


def inside(attention: HeadAttention | None) -> Inside:
    states = {name: RNG.random((3, 4), dtype=np.float32) for name in ("image", "text", "last")}
    return Inside(
        scores=RNG.normal(size=2), mass=RNG.normal(size=(2, 4)), tokens=np.arange(4),
        attention=attention, **{f"h_{name}": state for name, state in states.items()},
    )  # fmt: skip


ATTENTION = HeadAttention(
    heads=RNG.random((2, 3, 4), dtype=np.float32), sinks=np.arange(4).reshape(2, 2),
    maps=RNG.random((2, 9), dtype=np.float32), grid=np.array([1, 3, 3]),
)  # fmt: skip
ANSWERS = {
    "chosen": Answer(scores=np.array([-1.5, -np.inf]), prompt="A or B?"),
    "no/number": Answer(scores=np.array([np.nan, 1.0]), response="é\ud800", finish="stop"),
    "abstained": Answer(scores=None, response="well", finish="length"),
    "failed": Answer(scores=None, error="it is damaged"),
    "heard": Answer(scores=np.zeros(2), inside=inside(None)),
    "watched": Answer(scores=np.zeros(2), inside=inside(ATTENTION)),
    "staged": Answer(scores=np.zeros(2), stages={"tower-2": np.ones(2), "lens-0": np.zeros(2)}),
}


@pytest.fixture
def journal(tmp_path):
    return lambda: Journal(tmp_path / "cell.journal", {"key": 1})


def test_answers_of_every_kind_come_back_bit_for_bit(journal):
    names = list(ANSWERS)
    ledger = JournalLedger(journal())
    for batch in (names[:1], names[1:5], names[5:]):
        ledger.keep({name: ANSWERS[name] for name in batch})
    for held in (ledger.held(), JournalLedger(journal()).held()):
        assert list(held) == names
        for name in names:
            assert pickle.dumps(held[name]) == pickle.dumps(ANSWERS[name]), name


def test_what_fitted_into_memory_is_remembered(journal):
    sizes = {"prompted": BatchSize(8, 100), "encoder": BatchSize(3, fixed=True)}
    JournalLedger(journal(), sizes).keep({"chosen": ANSWERS["chosen"]})
    again = {}
    JournalLedger(journal(), again)
    assert again == {"prompted": BatchSize(8, 100)}
    other = {"prompted": BatchSize(2, 200)}
    JournalLedger(journal(), other)
    assert other == {"prompted": BatchSize(2, 100)}


def test_only_a_retry_asks_failed_documents_again(journal):
    ledger = JournalLedger(journal())
    ledger.keep({name: ANSWERS[name] for name in ("chosen", "failed", "no/number")})
    ledger.failed(["failed", "no/number"])
    assert set(JournalLedger(journal()).held()) == {"chosen", "failed", "no/number"}
    retry = JournalLedger(journal(), retry=True)
    assert set(retry.held()) == {"chosen"}
    retry.keep({"failed": ANSWERS["staged"]})  # and is killed
    assert set(JournalLedger(journal(), retry=True).held()) == {"chosen", "failed"}


def test_answers_of_other_weights_are_neither_added_nor_given(journal):
    ledger = JournalLedger(journal(), loaded=lambda: {"model": "old"})
    ledger.keep({"chosen": ANSWERS["chosen"]})
    again = JournalLedger(journal(), loaded=lambda: {"model": "new", "encoder": "any"})
    with pytest.raises(VlmbenchError, match="of other weights"):
        again.held()
    with pytest.raises(VlmbenchError, match="of other weights"):
        JournalLedger(journal()).take({"failed": ANSWERS["failed"]}, {"model": "new"})
    same = JournalLedger(journal(), loaded=lambda: {"model": "old", "encoder": "any"})
    assert set(same.held()) == {"chosen"}
