"""Credit of readouts whose every number is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmbench.metrics import (
    TIE_TOLERANCE,
    accuracy,
    answers,
    chance,
    credit,
    kept,
    permute_choices,
)
from vlmbench.types import VlmbenchError


def test_uniform_scores_give_chance_exactly(readouts):
    assert accuracy(readouts.uniform()).value == chance(readouts.uniform())
    assert 0.25 < chance(readouts.uniform()) < 0.5


def test_an_oracle_gives_one_and_its_opposite_zero(readouts):
    assert accuracy(readouts.oracle()).value == 1.0
    assert accuracy(readouts.anti_oracle()).value == 0.0


def test_credit_given_by_others_is_taken_as_it_is(readouts):
    """No argmax: 0.3 of a document right is 0.3, not a vote against it."""
    given = np.linspace(0.0, 1.0, len(readouts.oracle()))
    scores = np.full_like(readouts.oracle().scores, -np.inf)
    scores[:, 0], scores[:, 1] = given, 1 - given
    two = np.full_like(readouts.oracle().n_choices, 2)
    silent = np.zeros_like(readouts.oracle().abstained)
    silent[-1] = True
    answered = replace(
        readouts.oracle(), scores=scores, scale="credit", n_choices=two, gold=np.zeros_like(two)
    )
    assert credit(answered).tolist() == given.tolist()
    assert credit(replace(answered, abstained=silent)).tolist() == [*given[:-1], 0.0]


def test_an_abstainer_gives_zero_and_answers_nothing(readouts):
    silent = readouts.abstainer()
    assert accuracy(silent).value == 0.0
    assert accuracy(silent).coverage == 0.0
    assert (answers(silent)[:, -1] == 1.0).all()


@pytest.mark.parametrize(("tied", "expected"), [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)])
def test_gold_among_k_maxima_earns_one_kth(documents, tied, expected):
    suite = documents(1, 4)
    gold = int(suite.gold[0])
    scores = np.full((1, 4), -9.0)
    scores[0, [(gold + i) % 4 for i in range(tied)]] = -1.0
    assert credit(suite.scored(scores)) == pytest.approx([expected], abs=0)


def test_a_tie_without_gold_earns_nothing(documents):
    suite = documents(1, 4)
    scores = np.full((1, 4), -1.0)
    scores[0, suite.gold[0]] = -1.5
    assert credit(suite.scored(scores)) == [0.0]


@pytest.mark.parametrize(("lead", "expected"), [(TIE_TOLERANCE / 2, 0.5), (TIE_TOLERANCE * 4, 0.0)])
def test_scores_within_the_tolerance_tie(documents, lead, expected):
    suite = documents(1, 2)
    scores = np.zeros((1, 2))
    scores[0, 1 - suite.gold[0]] = lead
    assert credit(suite.scored(scores, "similarity")) == [expected]


def test_an_impossible_choice_takes_no_share(documents):
    suite = documents(40, 2, 4)
    scores = np.full((40, 4), -np.inf)
    scores[:, 0] = -1.0  # one choice is possible, however many there are
    expected = (suite.gold == 0).astype(float)
    assert credit(suite.scored(scores, "logprob")) == pytest.approx(expected)


def test_failed_documents_are_left_out_and_abstentions_are_not(readouts, with_failures):
    scores = with_failures(readouts.oracle(), 0, 5)
    scores = replace(scores, abstained=np.arange(len(scores)) == 7)
    stat = accuracy(scores)
    assert stat.n == len(readouts) - 2
    assert stat.value == pytest.approx((len(readouts) - 3) / (len(readouts) - 2))
    assert stat.coverage == stat.value


def test_nothing_left_is_an_error_and_not_zero(readouts, with_failures):
    with pytest.raises(VlmbenchError, match="all 240 documents failed"):
        kept(with_failures(readouts.oracle(), *range(240)))


def shuffles(suite, rng):
    """A random order of each document's own choices."""
    width = int(suite.n_choices.max())
    rows = np.tile(np.arange(width), (len(suite), 1))
    for row, n in zip(rows, suite.n_choices, strict=True):
        row[:n] = rng.permutation(n)
    return rows


@given(seed=st.integers(0, 2**16))
def test_the_order_in_which_choices_are_shown_changes_nothing(documents, seed):
    rng = np.random.default_rng(seed)
    suite = documents(30, 2, 3, 4, seed=seed)
    canonical = suite.scored(
        rng.integers(0, 3, size=(30, int(suite.n_choices.max()))).astype(float)
    )
    order = shuffles(suite, rng)
    shown = replace(
        canonical,
        scores=np.take_along_axis(canonical.scores, order, axis=1),
        gold=np.argmax(order == canonical.gold[:, None], axis=1),
    )
    assert not np.array_equal(shown.gold, canonical.gold)
    back = permute_choices(shown, order)
    assert np.array_equal(back.scores, canonical.scores)
    assert np.array_equal(back.gold, canonical.gold)
    assert np.array_equal(credit(shown), credit(canonical))


def test_permutations_that_are_none_are_refused(documents):
    suite = documents(10, 2, 3)
    scores = suite.uniform()
    identity = np.tile(np.arange(3), (10, 1))
    with pytest.raises(ValueError, match=r"each of 0\.\.2 once"):
        permute_choices(scores, np.zeros_like(identity))
    with pytest.raises(ValueError, match=r"must be \(10, 3\)"):
        permute_choices(scores, identity[:, :2])
    assert (suite.n_choices == 2).any()
    with pytest.raises(ValueError, match="past n_choices"):
        permute_choices(scores, identity[:, ::-1])


@given(seed=st.integers(0, 2**16), shift=st.floats(-50, 50), scale=st.sampled_from([0.5, 2.0, 8.0]))
def test_credit_knows_no_unit(documents, seed, shift, scale):
    suite = documents(20, 2, 4, seed=seed)
    scores = suite.random(seed=seed)
    moved = replace(scores, scores=scores.scores * scale + shift)
    assert np.array_equal(credit(scores), credit(moved))


@given(seed=st.integers(0, 2**16))
def test_answers_are_shares(documents, seed):
    suite = documents(25, 1, 2, 5, seed=seed)
    ties = np.random.default_rng(seed).integers(0, 2, size=(25, int(suite.n_choices.max())))
    shares = answers(suite.scored(ties.astype(float)))
    assert shares.sum(axis=1) == pytest.approx(np.ones(25))
    assert (shares >= 0).all()
    past = np.arange(shares.shape[1] - 1)[None, :] >= suite.n_choices[:, None]
    assert (shares[:, :-1][past] == 0).all()
