"""Gaps and McNemar's test: same documents, same order, or an error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test

from vlmbench.metrics import accuracy, credit, flip_p, gap, gap_corrected, mcnemar
from vlmbench.types import ComparisonError, VlmbenchError


def test_an_oracle_beats_its_opposite_by_one(readouts):
    stat = gap(readouts.oracle(), readouts.anti_oracle())
    assert (stat.value, stat.high, stat.n) == (1.0, pytest.approx(1.0), 240)
    assert 0.96 < stat.low < 0.98  # 240 of 240 do not show that it is always so


def test_nothing_beats_itself(readouts):
    scores = readouts.noisy(0.6, seed=4)
    stat = gap(scores, scores)
    assert stat.value == 0.0
    # The most that no instance in n documents allows for: z^2 / (n + z^2).
    assert (-stat.low, stat.high) == pytest.approx([1.96**2 / (240 + 1.96**2)] * 2, rel=1e-4)
    assert mcnemar(scores, scores).p == 1.0


def test_a_known_difference_is_found_and_its_absence_is_not(documents):
    suite = documents(2000, 4)
    strong, weak = suite.noisy(0.7, seed=1), suite.noisy(0.5, seed=2)
    stat = gap(strong, weak)
    assert stat.value == pytest.approx(0.2, abs=0.04)
    assert 0 < stat.low < stat.value < stat.high
    assert mcnemar(strong, weak).p < 1e-6
    equal = suite.noisy(0.5, seed=3)
    assert gap(equal, weak).low < 0 < gap(equal, weak).high
    assert mcnemar(equal, weak).p > 0.05


def test_the_gap_is_the_difference_of_accuracies_and_turns_its_sign(readouts):
    a, b = readouts.noisy(0.8, seed=1), readouts.uniform()
    forth, back = gap(a, b), gap(b, a)
    assert forth.value == pytest.approx(accuracy(a).value - accuracy(b).value)
    assert back.value == -forth.value


def test_pairing_makes_the_interval_narrower(documents):
    suite = documents(600, 4)
    right = np.random.default_rng(0).random(600) < 0.5
    base, better = suite.right_on(right), suite.right_on(right | (np.arange(600) % 10 == 0))
    paired = gap(better, base)
    unpaired = gap(better, suite.noisy(0.5, seed=9))
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)


def test_the_corrected_gap_is_the_difference_of_corrected_accuracies(readouts):
    a, b = readouts.noisy(0.8, seed=1), readouts.noisy(0.5, seed=2)
    room = 1 - np.mean(1 / readouts.n_choices)
    plain, fair = gap(a, b), gap_corrected(a, b)
    assert fair.value == pytest.approx(plain.value / room)
    assert (fair.low, fair.high) == pytest.approx((plain.low / room, plain.high / room))


@given(table=st.tuples(*[st.integers(0, 60)] * 4).filter(lambda cells: sum(cells) > 0))
def test_mcnemar_is_the_exact_binomial_test(documents, table):
    _, only_a, only_b, _ = table
    suite = documents(sum(table), 4)
    a = np.repeat([True, True, False, False], table)
    b = np.repeat([True, False, True, False], table)
    result = mcnemar(suite.right_on(a), suite.right_on(b))
    expected = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert result.p == pytest.approx(expected, abs=1e-12)
    assert (result.only_a, result.only_b) == (only_a, only_b)
    assert (result.tested, result.fractional) == (sum(table), 0)


def test_mcnemar_of_thousands_of_documents_stays_finite(documents):
    suite = documents(5000, 2)
    assert 0 <= mcnemar(suite.oracle(), suite.anti_oracle()).p < 1e-300
    assert mcnemar(suite.noisy(0.5, seed=1), suite.noisy(0.5, seed=2)).p > 1e-3


def test_ties_are_left_out_of_the_table_and_counted(readouts):
    result = mcnemar(readouts.uniform(), readouts.noisy(0.4, seed=1))
    assert (result.p, result.tested, result.fractional) == (1.0, 0, 240)


@given(table=st.tuples(*[st.integers(0, 4)] * 4).filter(lambda cells: sum(cells) > 0))
def test_flipped_signs_of_documents_that_share_nothing_are_mcnemars_test(documents, table):
    a, b = (np.repeat(right, table) for right in ([1, 1, 0, 0], [1, 0, 1, 0]))
    suite = documents(sum(table), 4)
    pair = suite.right_on(a == 1), suite.right_on(b == 1)
    assert flip_p(*pair, seed=0) == pytest.approx(mcnemar(*pair).p, abs=1e-12)


@pytest.mark.parametrize(("clusters", "agreement"), [(9, 1e-12), (60, 0.015)])
def test_flipped_signs_of_clusters_are_scipys(documents, clusters, agreement):
    suite = documents(5 * clusters, 4)
    together = np.arange(5 * clusters) // 5 * 5
    rng = np.random.default_rng(2)
    lead = np.repeat(rng.random(clusters), 5)
    a = replace(suite.right_on(rng.random(5 * clusters) < lead), clusters=together)
    b = replace(suite.noisy(0.6, seed=1), clusters=together)
    sums = (credit(a) - credit(b)).reshape(clusters, 5).sum(axis=1)
    theirs = permutation_test(
        (sums, np.zeros(clusters)),
        lambda x, y, axis: (x - y).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000 if clusters > 9 else np.inf,
        rng=np.random.default_rng(3),
    )
    assert flip_p(a, b, seed=0) == pytest.approx(theirs.pvalue, abs=agreement)


def test_ties_count_in_flipped_signs(documents):
    # Right throughout against a shared third: each cluster is ahead by two thirds a document.
    suite = documents(12, 3)
    together = np.arange(12) // 2 * 2
    pair = [replace(cell, clusters=together) for cell in (suite.oracle(), suite.uniform())]
    assert flip_p(*pair, seed=0) == 2 / 2**6


def test_documents_grouped_otherwise_are_refused(readouts):
    a = readouts.oracle()
    with pytest.raises(ComparisonError, match="do not group the documents alike"):
        gap(a, replace(a, clusters=np.arange(240) // 2 * 2))


def test_a_cluster_of_copies_is_one_document(documents):
    one, other = documents(40, 4).noisy(0.8, seed=1), documents(40, 4).noisy(0.5, seed=2)
    three = np.repeat(np.arange(40), 3)

    def copied(scores):
        ids = tuple(f"{scores.doc_ids[i]}-{k}" for k, i in enumerate(three))
        return replace(
            scores,
            doc_ids=ids,
            gold=scores.gold[three],
            n_choices=scores.n_choices[three],
            scores=scores.scores[three],
            abstained=scores.abstained[three],
            failed=scores.failed[three],
            clusters=three * 3,
        )

    alone, copies = gap(one, other), gap(copied(one), copied(other))
    assert copies.value == pytest.approx(alone.value)
    # As 40 documents, but for Student's quantile of 39 clusters against that of 119 documents.
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.03)
    assert accuracy(copied(one)).low == pytest.approx(accuracy(one).low, abs=0.005)


def test_different_documents_are_refused_with_the_first_difference_and_the_counts(readouts):
    a = readouts.oracle()
    ids = list(a.doc_ids)
    ids[17] = "stranger"
    with pytest.raises(ComparisonError) as caught:
        gap(a, replace(a, doc_ids=tuple(ids)))
    text = str(caught.value)
    assert "position 17, 'doc-17' against 'stranger'" in text
    assert "240 against 240 documents" in text
    assert "1 only in the first, 1 only in the second" in text


def test_a_subset_is_no_inner_join(readouts):
    a = readouts.oracle()
    with pytest.raises(ComparisonError, match="240 against 239 documents, 1 only in the first, 0"):
        mcnemar(a, a.take(np.arange(239)))
    with pytest.raises(ComparisonError, match="'doc-239' against no document"):
        mcnemar(a, a.take(np.arange(239)))


def test_the_same_documents_in_another_order_are_refused(readouts):
    a = readouts.oracle()
    with pytest.raises(ComparisonError, match="0 only in the first, 0 only in the second"):
        gap(a, a.take(np.arange(240)[::-1].copy()))


def test_another_gold_is_refused(documents):
    suite = documents(50, 4)
    a = suite.oracle()
    gold = a.gold.copy()
    gold[3] = (gold[3] + 1) % 4
    with pytest.raises(ComparisonError, match="differ on 1 of 50 documents, first on 'doc-3'"):
        gap(a, replace(a, gold=gold))


def test_documents_that_failed_in_either_leave_both(readouts, with_failures):
    a = with_failures(readouts.noisy(0.9, seed=1), 0, 1)
    b = with_failures(readouts.noisy(0.3, seed=2), 1, 2, 3)
    stat = gap(a, b)
    left = np.arange(240) > 3
    assert stat.n == 236
    expected = credit(readouts.noisy(0.9, seed=1))[left] - credit(readouts.noisy(0.3, seed=2))[left]
    assert stat.value == pytest.approx(expected.mean())


def test_no_common_document_is_an_error(documents, with_failures):
    suite = documents(4, 2)
    a, b = with_failures(suite.oracle(), 0, 1), with_failures(suite.oracle(), 2, 3)
    with pytest.raises(ComparisonError, match="each of the 4 documents failed in one"):
        gap(a, b)
    with pytest.raises(VlmbenchError, match="all 4 documents failed"):
        gap(a, with_failures(suite.oracle(), 0, 1, 2, 3))


def test_coverage_of_a_pair_is_where_both_answered(readouts):
    a = replace(readouts.oracle(), abstained=np.arange(240) < 24)
    b = replace(readouts.oracle(), abstained=np.arange(240) >= 228)
    assert gap(a, b).coverage == pytest.approx((240 - 24 - 12) / 240)
