"""Intervals beside scipy's and published ones, and beside the truth they are to cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, bootstrap, norm, ttest_1samp

from vlmbench.metrics import (
    Clusters,
    accuracy,
    bounded_stat,
    difference_stat,
    gap,
    mean_stat,
    tango,
    tv_between,
    wilson,
)
from vlmbench.metrics._bootstrap import resampled_means


@given(n=st.integers(1, 3000), share=st.floats(0, 1))
def test_wilson_is_scipys(n, share):
    successes = round(share * n)
    theirs = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
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


def test_nothing_is_known_of_a_rate_without_documents():
    assert wilson(0, 0) == (0.0, 1.0)
    assert tango(0, 0, 0) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("plus", "minus", "n", "low", "high"),
    [
        (1, 7, 21, -0.517, -0.026),  # Fagerland, Lydersen and Laake 2014, table II and text
        (0, 0, 50, -(1.96**2) / (50 + 1.96**2), 1.96**2 / (50 + 1.96**2)),
    ],
)
def test_tangos_interval_is_the_published_one(plus, minus, n, low, high):
    assert tango(plus, minus, n) == pytest.approx((low, high), abs=6e-4)


@pytest.mark.parametrize(("plus", "minus", "n"), [(1, 7, 21), (40, 20, 160), (0, 5, 30), (3, 3, 9)])
def test_tangos_ends_are_where_the_likelihood_says(plus, minus, n):
    # The restricted maximum is found numerically here, where it has a closed form there.
    def distance(difference):
        same = n - plus - minus

        def loss(q):
            p, rest = q + difference, 1 - 2 * q - difference
            parts = ((plus, p), (minus, q), (same, rest))
            return -sum(count * np.log(max(share, 1e-300)) for count, share in parts if count)

        least, most = max(0.0, -difference), (1 - difference) / 2
        q = minimize_scalar(
            loss, bounds=(least, most), method="bounded", options={"xatol": 1e-13}
        ).x
        spread = np.sqrt(max(n * (2 * q + difference * (1 - difference)), 1e-300))
        return (plus - minus - n * difference) / spread

    z, value = norm.ppf(0.975), (plus - minus) / n
    expected = (
        brentq(lambda d: distance(d) - z, -0.999, value),
        brentq(lambda d: distance(d) + z, value, 0.999),
    )
    assert tango(plus, minus, n) == pytest.approx(expected, abs=2e-5)


def test_a_gap_at_the_ceiling_has_a_width(documents):
    suite = documents(30, 4)
    stat = gap(suite.oracle(), suite.oracle())
    assert (stat.value, stat.low < -0.1, stat.high > 0.1) == (0.0, True, True)


def test_under_ties_a_difference_has_the_samples_own_variance():
    # A shared quarter against a guess at 1/4: mean 0, mean square 3/16 instead of 3/8.
    values = np.repeat([0.25, -0.75], [300, 100])
    stat = difference_stat(values, Clusters.none(400), coverage=1.0)
    half = 1.96 * np.sqrt(3 / 16 / 400)
    assert (stat.value, stat.low, stat.high) == pytest.approx((0.0, -half, half), abs=1e-3)


def test_the_bounded_mean_is_students_interval_with_one_more_document_at_each_bound():
    values = np.random.default_rng(0).uniform(-1, 1, 50)
    stat = bounded_stat(values, 2.0, Clusters.none(50), coverage=1.0)
    low, high = (
        ttest_1samp(np.append(values, bound), 0).confidence_interval() for bound in (-2.0, 2.0)
    )
    assert (stat.low, stat.high) == pytest.approx((low.low, high.high), abs=1e-12)


def test_one_document_in_a_hundred_does_not_break_the_bounded_mean():
    rng = np.random.default_rng(0)
    held = raw = 0
    for _ in range(300):
        bits = np.where(rng.random(30) < 0.01, -20.0, rng.normal(0.3, 0.2, 30))
        stat = bounded_stat(np.clip(bits, -2, 2), 2.0, Clusters.none(30), coverage=1.0)
        plain = mean_stat(bits, seed=0, draws=200)
        held += stat.low <= 0.99 * 0.3 - 0.02 <= stat.high
        raw += plain.low <= 0.99 * 0.3 - 0.2 <= plain.high
    assert raw / 300 < 0.5
    assert held / 300 >= 0.95


def test_resampling_is_the_multinomial_bootstrap():
    values = np.repeat([[0.0, 1.0], [1.0, 0.0], [0.25, 0.5]], [50, 30, 20], axis=0)
    means = resampled_means(values, Clusters.none(100), seed=0, draws=20_000)
    assert means.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=2e-3)
    assert means.std(axis=0) == pytest.approx(values.std(axis=0) / 10, rel=0.03)


@pytest.mark.parametrize("n", [40, 3000])  # drawn at once and kept, and drawn in parts
def test_resamples_are_those_of_one_draw(n):
    values = np.sort(np.random.default_rng(0).normal(size=(n, 1)), axis=0)
    picked = np.random.default_rng(7).multinomial(n, np.full(n, 1 / n), size=2000)
    rows = np.concatenate([values, np.ones((n, 1))], axis=1)
    expected = np.einsum("dr,rc->dc", picked, rows)[:, :1] / n
    for _ in range(2):  # a second time from what was kept
        means = resampled_means(values, Clusters.none(n), seed=7, draws=2000)
        assert np.array_equal(means, expected)


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
    once, again, other = (tv_between(a, b, seed=seed) for seed in (7, 7, 8))
    assert once == again
    assert (once.low, once.high) != (other.low, other.high)
    order = np.random.default_rng(0).permutation(240)
    turned = tv_between(a.take(order), b.take(order), seed=7)
    assert (turned.low, turned.high) == (once.low, once.high)


def test_the_global_generator_is_left_alone(readouts):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    tv_between(readouts.oracle(), readouts.noisy(0.5, seed=0), seed=0)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_gap_intervals_cover_the_truth_as_often_as_they_say(documents):
    rng = np.random.default_rng(11)
    suite = documents(150, 4)
    hits = 0
    for _ in range(300):
        # Half of the documents are easy for both, so the two readouts are correlated.
        easy = rng.random(150) < 0.5
        encoder = suite.right_on(easy | (rng.random(150) < 0.6))
        prompted = suite.right_on(easy & (rng.random(150) < 0.8))
        stat = gap(encoder, prompted)
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
