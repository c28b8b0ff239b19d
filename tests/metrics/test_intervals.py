"""Intervals beside scipy's, and beside the truth they are to cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

from vlmbench.metrics import accuracy, gap, mean_stat, wilson
from vlmbench.metrics._intervals import resampled_means


@given(n=st.integers(1, 3000), share=st.floats(0, 1))
def test_wilson_is_scipys(n, share):
    successes = round(share * n)
    theirs = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_what_is_no_rate(successes, n):
    with pytest.raises(ValueError, match="0 <= successes <= n"):
        wilson(successes, n)


def test_sums_of_thirds_do_not_leave_the_unit_interval():
    assert wilson(sum([1 / 3] * 3) + 1e-12, 1)[1] == 1.0


def test_accuracy_has_wilsons_interval(readouts):
    scores = readouts.noisy(0.7, seed=1)
    stat = accuracy(scores)
    theirs = binomtest(round(stat.value * stat.n), stat.n).proportion_ci(method="wilson")
    assert (stat.low, stat.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_resampling_is_the_multinomial_bootstrap():
    values = np.repeat([[0.0, 1.0], [1.0, 0.0], [0.25, 0.5]], [50, 30, 20], axis=0)
    means = resampled_means(values, np.random.default_rng(0), 20_000)
    assert means.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=2e-3)
    assert means.std(axis=0) == pytest.approx(values.std(axis=0) / 10, rel=0.03)


def test_the_percentile_interval_is_scipys():
    values = np.random.default_rng(5).beta(2, 1, size=400)
    stat = mean_stat(values, seed=0, draws=20_000)
    theirs = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert stat.value == values.mean()
    assert (stat.low, stat.high) == pytest.approx((theirs.low, theirs.high), abs=1e-3)


@pytest.mark.parametrize(
    "values", [np.array([]), np.array([0.5, np.nan]), np.array([[0.5]]), np.array([np.inf])]
)
def test_numbers_that_are_missing_are_refused(values):
    with pytest.raises(ValueError, match="one finite number per document"):
        mean_stat(values, seed=0)


def test_seeds_decide_the_bytes_and_the_order_of_documents_does_not(readouts):
    a, b = readouts.noisy(0.8, seed=1), readouts.noisy(0.4, seed=2)
    once, again, other = (gap(a, b, seed=seed) for seed in (7, 7, 8))
    assert once == again
    assert (once.low, once.high) != (other.low, other.high)
    order = np.random.default_rng(0).permutation(240)
    turned = gap(a.take(order), b.take(order), seed=7)
    assert (turned.low, turned.high) == (once.low, once.high)


def test_the_global_generator_is_left_alone(readouts):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    gap(readouts.oracle(), readouts.noisy(0.5, seed=0), seed=0)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_gap_intervals_cover_the_truth_as_often_as_they_say(documents):
    rng = np.random.default_rng(11)
    suite = documents(150, 4)
    hits = 0
    for trial in range(300):
        # Half of the documents are easy for both, so the two readouts are correlated.
        easy = rng.random(150) < 0.5
        encoder = suite.right_on(easy | (rng.random(150) < 0.6))
        prompted = suite.right_on(easy & (rng.random(150) < 0.8))
        stat = gap(encoder, prompted, seed=trial, draws=400)
        hits += stat.low <= 0.8 - 0.4 <= stat.high
    assert 0.90 <= hits / 300 <= 0.985


def test_accuracy_intervals_cover_the_truth_with_and_without_ties(documents):
    rng = np.random.default_rng(12)
    suite = documents(80, 4)
    sharp = ties = 0
    for _ in range(400):
        right = rng.random(80) < 0.9
        stat = accuracy(suite.right_on(right))
        sharp += stat.low <= 0.9 <= stat.high
        # A readout that cannot tell gold from one other choice on half of the documents.
        votes = suite.right_on(right).scores.copy()
        vague = rng.random(80) < 0.5
        votes[vague, suite.gold[vague]] = 1.0
        votes[vague, (suite.gold[vague] + 1) % 4] = 1.0
        stat = accuracy(suite.scored(votes, "similarity"))
        ties += stat.low <= 0.5 * 0.9 + 0.5 * 0.5 <= stat.high
    assert 0.91 <= sharp / 400 <= 0.985
    assert ties / 400 >= 0.95
