"""Cells are compared on the same documents, and their bits are everybody's bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cityblock
from scipy.special import softmax
from sklearn.metrics import log_loss

from vlmbench.diagnostics._comparison import (
    LEAST_FLOOR,
    compare,
    distances,
    distributions,
    entropies,
    gold_bits,
    numeric_floor,
    ratio_of,
)
from vlmbench.types import ComparisonError, VlmbenchError


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
    assert numeric_floor(own, None) is None
    repeat = noisy(own, 0.01).take(np.arange(20))
    p, q = (softmax(scores.scores, axis=1) for scores in (own.take(np.arange(20)), repeat))
    largest = max(cityblock(one, other) / 2 for one, other in zip(p, q, strict=True))
    assert largest > LEAST_FLOOR
    assert numeric_floor(own, repeat) == pytest.approx(largest)


def test_a_ratio_of_proportional_values_is_exact():
    bottom = np.random.default_rng(0).random(50)
    stat = ratio_of(3 * bottom, bottom, coverage=1.0, seed=0)
    assert (stat.low, stat.value, stat.high) == pytest.approx((3, 3, 3))
