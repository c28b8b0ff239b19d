"""Cells are compared on the same documents, and their bits are everybody's bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cityblock
from scipy.special import softmax
from sklearn.metrics import log_loss

from vlmbench.diagnostics._cells import LEAST_FLOOR, numeric_floor
from vlmbench.diagnostics._comparison import (
    compare,
    distances,
    distributions,
    entropies,
    exceeds,
    gold_bits,
    information_changes,
    ratio_of,
)
from vlmbench.metrics import Clusters
from vlmbench.types import ComparisonError, Stat, VlmbenchError


def test_a_capped_cell_restricts_the_others_to_its_documents(fake):
    model = fake(n=40)
    shared = compare(model.read(), model.read("swapped", first=15))
    assert shared.cells[0].doc_ids == shared.cells[1].doc_ids == model.read().doc_ids[:15]
    assert shared.coverage == 1.0


def test_failed_and_abstained_documents_leave_both_sides(fake, without):
    own = fake(n=20).read()
    other = replace(own, abstained=np.arange(20) == 4)
    shared = compare(without(own, 2), other)
    assert len(shared) == 18
    assert shared.coverage == pytest.approx(0.9)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 2, 1]])
def test_another_order_is_refused(fake, order):
    own = fake(n=3).read()
    with pytest.raises(ComparisonError, match="orders"):
        compare(own, own.take(np.array(order)))


def test_documents_that_are_elsewhere_are_refused_and_not_joined(fake):
    own = fake(n=10).read()
    other = replace(own, doc_ids=(*own.doc_ids[:9], "another")).take(np.arange(5, 10))
    with pytest.raises(ComparisonError, match="another"):
        compare(own, other)


def test_another_gold_is_refused(fake):
    own = fake(n=10).read()
    with pytest.raises(ComparisonError, match="gold"):
        compare(own, replace(own, gold=(own.gold + 1) % 4))


def test_scores_that_are_no_log_likelihoods_are_refused(fake):
    own = fake(n=10).read()
    with pytest.raises(VlmbenchError, match="similarity"):
        compare(own, replace(own, scale="similarity"))


def test_an_impossible_choice_is_refused(fake):
    own = fake(n=10).read()
    scores = own.scores.copy()
    scores[3, 1] = -np.inf
    with pytest.raises(VlmbenchError, match="doc-3"):
        compare(own, replace(own, scores=scores))


def test_entropy_is_scipys_and_gold_bits_are_scikit_learns_log_loss(fake, noisy):
    scores = noisy(fake(n=50).read(), 1.0)
    p = distributions(scores)
    assert entropies(scores) == pytest.approx(stats.entropy(p, base=2, axis=1))
    loss = log_loss(scores.gold, p, labels=range(4)) / np.log(2)
    assert -gold_bits(scores).mean() == pytest.approx(loss)


def test_choices_that_a_document_lacks_count_for_nothing(fake, noisy):
    scores = noisy(fake(n=30).read(), 1.0)
    padded = replace(
        scores, scores=np.concatenate([scores.scores, np.full((30, 1), -np.inf)], axis=1)
    )
    assert entropies(padded) == pytest.approx(entropies(scores))
    assert distances(padded, padded).max() == 0.0
    assert len(compare(scores, padded)) == 30  # widths may differ between cells


def test_the_floor_is_the_largest_distance_between_repeats(fake, noisy):
    own = fake(n=60).read()
    assert numeric_floor(own, own) == LEAST_FLOOR
    repeat = noisy(own, 0.01).take(np.arange(20))
    p, q = (softmax(scores.scores, axis=1) for scores in (own.take(np.arange(20)), repeat))
    largest = max(cityblock(one, other) / 2 for one, other in zip(p, q, strict=True))
    assert largest > LEAST_FLOOR
    assert numeric_floor(own, repeat) == pytest.approx(largest)
    bits = np.log2(p / q)[np.arange(20), repeat.gold]
    floor = numeric_floor(own, repeat, information_changes)
    assert floor == pytest.approx(np.abs(bits).max())


def test_a_ratio_of_proportional_values_is_exact():
    bottom = np.random.default_rng(0).random(50)
    stat = ratio_of(3 * bottom, bottom, Clusters.none(50), coverage=1.0, seed=0)
    assert (stat.low, stat.value, stat.high) == pytest.approx((3, 3, 3))


def test_a_bound_above_a_level_by_rounding_does_not_exceed_it():
    straddles = Stat(value=0.1, low=3e-18, high=0.2, n=9)
    assert exceeds(straddles, 0.0) is None
    assert exceeds(Stat(value=0.1, low=0.01, high=0.2, n=9), 0.0) is True
    assert exceeds(Stat(value=0.5, low=0.4, high=0.5 + 1e-16, n=9), 0.5) is False
    assert exceeds(Stat(value=0.1, n=9), 0.0) is None


def test_a_ratio_over_clusters_of_copies_is_that_of_one_of_each():
    rng = np.random.default_rng(2)
    top, bottom = rng.random(60), 1 + rng.random(60)
    copies = Clusters.of(np.arange(180) // 3)
    one = ratio_of(top, bottom, Clusters.none(60), coverage=1.0, seed=0)
    three = ratio_of(np.repeat(top, 3), np.repeat(bottom, 3), copies, coverage=1.0, seed=0)
    assert three.value == pytest.approx(one.value)
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.05)
    naive = ratio_of(
        np.repeat(top, 3), np.repeat(bottom, 3), Clusters.none(180), coverage=1, seed=0
    )
    assert naive.high - naive.low < 0.65 * (one.high - one.low)


def test_cells_that_group_their_documents_otherwise_are_refused(fake):
    own = fake(n=6).read()
    grouped = replace(own, clusters=np.array([0, 0, 2, 2, 4, 4]))
    with pytest.raises(ComparisonError, match="differ in cluster"):
        compare(own, grouped)
    assert len(compare(grouped, grouped).clusters) == 3


def test_a_part_of_a_comparison_keeps_its_clusters_and_says_its_share(fake):
    grouped = replace(fake(n=6).read(), clusters=np.array([0, 0, 2, 2, 4, 4]))
    part = compare(grouped, grouped).only(np.array([True, True, True, False, False, False]))
    assert (len(part), len(part.clusters), part.coverage) == (3, 2, 0.5)
