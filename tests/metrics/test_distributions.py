"""Distances between answer distributions, on cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cityblock

from vlmbench.metrics import (
    answer_distribution,
    total_variation,
    truth_distribution,
    tv_between,
    tv_to_truth,
)
from vlmbench.types import ComparisonError

shares = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(
    lambda raw: np.array(raw) / sum(raw)
)


@given(p=shares, q=shares)
def test_total_variation_is_half_the_city_block_distance(p, q):
    assert total_variation(p, q) == pytest.approx(cityblock(p, q) / 2, abs=1e-12)
    assert total_variation(p, q) == total_variation(q, p)


def test_total_variation_refuses_what_is_no_distribution():
    with pytest.raises(ValueError, match="different bins"):
        total_variation(np.array([1.0]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="must sum to 1"):
        total_variation(np.array([0.5, 0.6]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="no negative entry"):
        total_variation(np.array([1.5, -0.5]), np.array([0.5, 0.5]))


def test_answers_are_counted_by_letter_with_abstention_last(documents):
    suite = documents(100, 4)
    scores = replace(suite.constant(2), abstained=np.arange(100) < 25)
    assert answer_distribution(scores) == pytest.approx([0, 0, 0.75, 0, 0.25])
    assert answer_distribution(suite.uniform()) == pytest.approx([0.25] * 4 + [0])


def test_truth_is_counted_by_letter_and_never_abstains(documents):
    suite = documents(100, 4)
    expected = [*np.bincount(suite.gold, minlength=4) / 100, 0]
    assert truth_distribution(suite.abstainer()) == pytest.approx(expected)


def test_an_oracle_answers_as_the_truth_does(readouts):
    stat = tv_to_truth(readouts.oracle(), seed=0)
    assert (stat.value, stat.low) == (0.0, 0.0)
    assert stat.high == pytest.approx(1.96**2 / (240 + 1.96**2), rel=1e-3)


def test_two_constant_letters_have_nothing_in_common(documents):
    suite = documents(100, 4)
    stat = tv_between(suite.constant(0), suite.constant(3), seed=0)
    assert (stat.value, stat.high) == (1.0, 1.0)
    assert stat.low == pytest.approx(100 / (100 + 1.96**2), rel=1e-3)


def test_an_abstainer_has_nothing_in_common_with_the_truth(readouts):
    stat = tv_to_truth(readouts.abstainer(), seed=0)
    assert stat.value == pytest.approx(1.0)
    assert stat.coverage == 0.0


def test_a_constant_letter_is_as_far_from_the_truth_as_the_other_letters_are_common(documents):
    suite = documents(400, 4)
    expected = 1 - (suite.gold == 1).mean()
    stat = tv_to_truth(suite.constant(1), seed=0)
    assert stat.value == pytest.approx(expected)
    assert stat.low < expected < stat.high


def test_distances_agree_with_the_distributions(readouts):
    a, b = readouts.random(seed=1), readouts.constant(0)
    expected = total_variation(answer_distribution(a), answer_distribution(b))
    assert tv_between(a, b, seed=0).value == pytest.approx(expected)


def test_other_documents_are_refused(readouts):
    a = readouts.oracle()
    with pytest.raises(ComparisonError):
        tv_between(a, a.take(np.arange(10)), seed=0)


def test_noise_alone_seldom_starts_above_zero_and_a_shift_does(documents):
    rng = np.random.default_rng(3)
    suite = documents(150, 4)
    fired = caught = covered = 0
    for trial in range(300):
        a = suite.voting(rng.integers(0, 4, 150))
        same = tv_between(a, suite.voting(rng.integers(0, 4, 150)), seed=trial, draws=300)
        fired += same.low > 0
        assert same.value > 0  # the bias that the interval has to live with
        biased = rng.choice(4, size=150, p=[0.55, 0.15, 0.15, 0.15])
        shifted = tv_between(a, suite.voting(biased), seed=trial, draws=300)
        caught += shifted.low > 0
        covered += shifted.low <= 0.3 <= shifted.high
    assert fired / 300 <= 0.08
    assert caught / 300 >= 0.95
    assert covered / 300 >= 0.94


def test_a_gold_that_is_balanced_by_design_is_not_resampled(documents):
    rng = np.random.default_rng(5)
    fired = caught = 0
    for trial in range(200):
        suite = replace(documents(160, 4), gold=rng.permutation(np.arange(160) % 4))
        even = tv_to_truth(suite.voting(rng.integers(0, 4, 160)), seed=trial, draws=300)
        skewed = rng.choice(4, size=160, p=[0.4, 0.2, 0.2, 0.2])
        fired += even.low > 0
        caught += tv_to_truth(suite.voting(skewed), seed=trial, draws=300).low > 0
    assert fired / 200 <= 0.09
    assert caught / 200 >= 0.8  # with the gold resampled as well it was .45


def test_answers_that_come_in_clusters_do_not_pass_for_a_shift(documents):
    rng = np.random.default_rng(6)
    suite = documents(180, 4)
    together = np.arange(180) // 6 * 6
    fired = blind = 0
    for trial in range(100):
        a, b = (suite.voting(np.repeat(rng.integers(0, 4, 30), 6)) for _ in range(2))
        blind += tv_between(a, b, seed=trial, draws=300).low > 0
        held = [replace(cell, clusters=together) for cell in (a, b)]
        fired += tv_between(*held, seed=trial, draws=300).low > 0
    assert blind / 100 >= 0.5
    assert fired / 100 <= 0.1
