"""Probability of all choices together: closed forms, and when it is called small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from home import keyed

from vlmbench.metrics import StatRow, choice_mass, small_masses, summarise
from vlmbench.types import ChoiceScores


def scored(masses: np.ndarray, n_choices: int = 4) -> ChoiceScores:
    """Documents whose choices share these probabilities equally."""
    n = len(masses)
    return ChoiceScores(
        doc_ids=tuple(f"d{i}" for i in range(n)),
        gold=np.zeros(n, dtype=np.int64),
        n_choices=np.full(n, n_choices),
        scores=np.log(np.repeat(masses[:, None] / n_choices, n_choices, axis=1)),
        scale="logprob",
        abstained=np.zeros(n, bool),
        failed=np.zeros(n, bool),
    )


def test_a_vocabulary_of_fifty_thousand_equal_tokens():
    scores = scored(np.full(10, 4 / 50_000))
    assert choice_mass(scores)["choice_mass"].value == pytest.approx(4 / 50_000, rel=1e-12)


def test_mean_and_fifth_percentile():
    found = choice_mass(scored(np.linspace(0.0, 1.0, 101)[1:]))
    assert found["choice_mass"].value == pytest.approx(0.505)
    assert found["choice_mass_p05"].value == pytest.approx(0.0595)
    assert found["choice_mass"].n == 100


def test_choices_that_begin_one_another_do_not_pass_one():
    scores = scored(np.array([1.0, 0.5]))
    twice = replace(scores, scores=scores.scores + np.log(2.0))
    assert choice_mass(twice)["choice_mass"].value == 1.0


def test_missing_choices_and_failed_documents_count_for_nothing():
    scores = scored(np.array([0.9, 0.2, 0.1]), n_choices=2)
    wide = np.concatenate([scores.scores, np.full((3, 1), -np.inf)], axis=1)
    failed = np.array([False, False, True])
    found = choice_mass(replace(scores, scores=wide, failed=failed))
    assert found["choice_mass"].value == pytest.approx(0.55)
    assert found["choice_mass"].n == 2


def rows(scores: ChoiceScores, readout: str = "prompted") -> list[StatRow]:
    return summarise(keyed({("own", readout): scores}), model="m", task="t", seed=0)


@pytest.mark.parametrize(
    ("masses", "small"),
    [
        (np.full(40, 0.51), False),
        (np.full(40, 0.49), True),  # the mean
        (np.repeat([0.04, 0.99], [1, 39]), False),  # one in forty
        (np.repeat([0.04, 0.99], [3, 37]), True),  # three in forty
        (np.full(40, 1.0), False),
    ],
)
def test_it_is_small_on_average_or_for_one_question_in_twenty(masses, small):
    assert bool(small_masses(rows(scored(masses)))) == small


def test_only_likelihoods_of_a_prompted_model_have_it():
    few = scored(np.full(40, 1e-6))
    assert [row.metric for row in rows(few)].count("choice_mass") == 1
    assert small_masses(rows(few, "encoder")) == []
    votes = replace(few, scores=np.eye(4)[np.zeros(40, dtype=int)], scale="vote")
    assert small_masses(rows(votes)) == []
