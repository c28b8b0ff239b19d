"""Clusters: closed forms, scipy's bootstrap, and coverage where documents are alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, t

from vlmbench.metrics import Clusters, accuracy, gap, mean_stat
from vlmbench.types import ChoiceScores


@given(n=st.integers(2, 40), seed=st.integers(0, 99))
def test_documents_that_share_nothing_count_as_they_are(n, seed):
    values = np.random.default_rng(seed).random(n)
    alone = Clusters.none(n)
    assert alone.alone
    assert (alone.effective_n(values), alone.stretch, alone.evened) == (n, 1.0, n)
    assert alone.variance(values) == pytest.approx(values.var(ddof=1) / n)


def test_the_variance_is_the_jackknife_over_clusters():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(7), [1, 2, 3, 5, 8, 1, 4])
    values = rng.random(len(labels))
    without = np.array([values[labels != label].mean() for label in range(7)])
    expected = 6 / 7 * ((without - values.mean()) ** 2).sum()
    assert Clusters.of(labels).variance(values) == pytest.approx(expected)


def test_copies_count_once_but_for_students_quantile():
    values = np.repeat(np.random.default_rng(1).integers(0, 2, 50).astype(float), 4)
    clusters = Clusters.of(np.arange(200) // 4)
    kept = (t.ppf(0.975, 199) / t.ppf(0.975, 49)) ** 2
    apart, together = values.var(ddof=1) / 200, values[::4].var(ddof=1) / 50
    assert clusters.effective_n(values) == pytest.approx(200 * apart / together * kept)
    assert clusters.effective_n(values) == pytest.approx(50, rel=0.06)


def test_clusters_that_balance_out_are_worth_no_more_than_documents():
    values = np.tile([0.0, 1.0], 60)
    clusters = Clusters.of(np.arange(120) // 2)  # each holds one right and one wrong answer
    assert clusters.variance(values) == pytest.approx(0, abs=1e-15)
    assert 110 < clusters.effective_n(values) <= 120


def test_where_all_are_equal_a_cluster_counts_as_one_document():
    clusters = Clusters.of(np.arange(120) // 3)
    assert clusters.effective_n(np.ones(120)) == pytest.approx(40, rel=0.05)


def test_a_single_cluster_tells_nothing(documents):
    suite = documents(20, 4)
    scores = replace(suite.noisy(0.5, seed=1), clusters=np.zeros(20, np.int64))
    stat = accuracy(scores)
    assert (stat.low, stat.high) == (0.0, 1.0)
    assert gap(scores, scores).low == -1.0
    values = np.linspace(0.2, 0.4, 20)
    mean = mean_stat(values, Clusters.of(np.zeros(20, np.int64)), seed=0)
    assert (mean.low, mean.high) == (0.2, 0.4)


def test_few_large_clusters_among_many_small_ones_count_for_few():
    clusters = Clusters.of(np.concatenate([np.arange(50), np.full(150, 50)]))
    assert clusters.evened == pytest.approx(200**2 / (50 + 150**2))


def test_the_cluster_bootstrap_is_scipys_over_clusters_of_equal_size():
    rng = np.random.default_rng(4)
    means = rng.normal(size=80)
    values = np.repeat(means, 5) + np.tile([-1.0, -0.5, 0.0, 0.5, 1.0], 80)
    clusters = Clusters.of(np.arange(400) // 5)
    stat = mean_stat(values, clusters, seed=0, draws=20_000)
    theirs = bootstrap(
        (means,), np.mean, n_resamples=20_000, method="percentile", rng=rng
    ).confidence_interval
    stretch = t.ppf(0.975, 79) / t.ppf(0.975, 399) * np.sqrt((80 / 79) / (400 / 399))
    assert clusters.stretch == pytest.approx(stretch)
    expected = stat.value + stretch * (np.array([theirs.low, theirs.high]) - stat.value)
    assert (stat.low, stat.high) == pytest.approx(expected, abs=0.01)


def test_intervals_cover_where_documents_of_a_cluster_are_alike(documents):
    rng = np.random.default_rng(7)
    suite = documents(300, 4)
    together = np.arange(300) // 3 * 3
    plain = held = gaps = 0
    for _ in range(200):
        # Beta-binomial: intra-class correlation of .6, accuracy of one half.
        right = [rng.random(300) < np.repeat(rng.beta(1 / 3, 1 / 3, 100), 3) for _ in range(2)]
        one, other = (suite.right_on(mask) for mask in right)
        plain += accuracy(one).low <= 0.5 <= accuracy(one).high
        one, other = (replace(cell, clusters=together) for cell in (one, other))
        held += accuracy(one).low <= 0.5 <= accuracy(one).high
        stat = gap(one, other)
        gaps += stat.low <= 0.0 <= stat.high
    assert plain / 200 < 0.88
    assert held / 200 >= 0.91
    assert gaps / 200 >= 0.91


def test_taking_documents_keeps_their_clusters(documents):
    scores = replace(documents(6, 2).oracle(), clusters=np.array([0, 0, 2, 2, 0, 5]))
    assert scores.take(np.array([1, 3, 4, 5])).clusters.tolist() == [0, 1, 0, 3]
    assert documents(3, 2).oracle().cluster_of.tolist() == [0, 1, 2]


def test_labels_that_are_no_first_documents_are_refused(documents):
    scores: ChoiceScores = documents(4, 2).oracle()
    with pytest.raises(ValueError, match="first document"):
        replace(scores, clusters=np.array([1, 1, 2, 3]))
    with pytest.raises(ValueError, match="cluster_of must be"):
        replace(scores, clusters=np.array([0, 0, 2]))
