"""Calibration: only where scores are, or become, probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from vlmbench.metrics import expected_calibration_error, probabilities
from vlmbench.types import VlmbenchError


@given(seed=st.integers(0, 2**16), scale=st.floats(0.1, 300))
def test_softmax_is_scipys(documents, seed, scale):
    suite = documents(20, 2, 3, 5, seed=seed)
    random = suite.random(seed=seed)
    scores = replace(random, scores=random.scores * scale)
    assert probabilities(scores) == pytest.approx(softmax(scores.scores, axis=1), abs=1e-12)


def test_probabilities_are_taken_as_they_are_and_checked(documents):
    suite = documents(6, 2)
    given_ = suite.scored(np.tile([0.25, 0.75], (6, 1)), "probability")
    assert probabilities(given_) == pytest.approx(np.tile([0.25, 0.75], (6, 1)))
    bad = suite.scored(np.tile([0.25, 0.95], (6, 1)), "probability")
    with pytest.raises(VlmbenchError, match="doc-0: probabilities do not sum to 1") as caught:
        probabilities(bad)
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize("scale", ["similarity", "vote"])
@pytest.mark.parametrize("function", [probabilities, expected_calibration_error])
def test_other_scales_are_refused(readouts, scale, function):
    scores = replace(readouts.oracle(), scale=scale)
    with pytest.raises(VlmbenchError, match=f"scale '{scale}' are not probabilities"):
        function(scores, **({} if function is probabilities else {"seed": 0}))


def test_a_uniform_guesser_is_calibrated(documents):
    suite = documents(100, 4)
    assert expected_calibration_error(suite.uniform(), seed=0).value == pytest.approx(0, abs=1e-12)


def test_sure_and_always_wrong_is_as_bad_as_it_gets(documents):
    suite = documents(50, 4)
    wrong = replace(suite.anti_oracle(), scale="probability")
    assert expected_calibration_error(wrong, seed=0).value == 1.0
    right = replace(suite.oracle(), scale="probability")
    assert expected_calibration_error(right, seed=0).value == 0.0


def test_bins_are_weighted_by_their_documents(documents):
    # 60 documents at confidence .9, 3/4 right; 40 at .6, all right: .6 x .15 + .4 x .4 = .25.
    suite = documents(100, 2)
    right = np.ones(100, bool)
    right[:15] = False
    confidence = np.where(np.arange(100) < 60, 0.9, 0.6)
    values = np.empty((100, 2))
    answer = np.where(right, suite.gold, 1 - suite.gold)
    values[np.arange(100), answer] = confidence
    values[np.arange(100), 1 - answer] = 1 - confidence
    stat = expected_calibration_error(suite.scored(values, "probability"), seed=0)
    assert stat.value == pytest.approx(0.25)
    assert stat.low < 0.25 < stat.high


def test_errors_in_neighbouring_bins_do_not_cancel(documents):
    # 50 documents at confidence .85, all right; 50 at .95, 40 right: off by .15 both ways.
    suite = documents(100, 2)
    answer = np.where(np.arange(100) < 90, suite.gold, 1 - suite.gold)
    confidence = np.where(np.arange(100) < 50, 0.85, 0.95)
    values = np.empty((100, 2))
    values[np.arange(100), answer] = confidence
    values[np.arange(100), 1 - answer] = 1 - confidence
    stat = expected_calibration_error(suite.scored(values, "probability"), seed=0)
    assert stat.value == pytest.approx(0.15)


def test_abstentions_have_no_confidence(documents):
    suite = documents(40, 4)
    scores = replace(suite.random(seed=0), abstained=np.arange(40) < 10)
    stat = expected_calibration_error(scores, seed=0)
    assert (stat.n, stat.coverage) == (30, 0.75)
    assert np.isnan(probabilities(scores)[:10]).all()
    with pytest.raises(VlmbenchError, match="no confidence"):
        expected_calibration_error(suite.abstainer(), seed=0)


def test_a_calibrated_model_seldom_has_an_error_above_zero(documents):
    rng = np.random.default_rng(1)
    suite = documents(60, 2)
    fired = 0
    for trial in range(200):
        confidence = 0.5 + 0.5 * rng.beta(8, 1, 60)
        answer = np.where(rng.random(60) < confidence, suite.gold, 1 - suite.gold)
        values = np.empty((60, 2))
        values[np.arange(60), answer] = confidence
        values[np.arange(60), 1 - answer] = 1 - confidence
        scores = suite.scored(values, "probability")
        fired += expected_calibration_error(scores, seed=trial, draws=300).low > 0
    assert fired / 200 <= 0.06
