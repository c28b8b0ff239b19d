"""Gaps and McNemar's test: same documents, same order, or an error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from vlmbench.metrics import accuracy, credit, gap, gap_corrected, mcnemar
from vlmbench.types import ComparisonError, VlmbenchError


def test_an_oracle_beats_its_opposite_by_one(readouts):
    stat = gap(readouts.oracle(), readouts.anti_oracle(), seed=0)
    assert (stat.value, stat.low, stat.high, stat.n) == (1.0, 1.0, 1.0, 240)


def test_nothing_beats_itself(readouts):
    scores = readouts.noisy(0.6, seed=4)
    stat = gap(scores, scores, seed=0)
    assert (stat.value, stat.low, stat.high) == (0.0, 0.0, 0.0)
    assert mcnemar(scores, scores).p == 1.0


def test_a_known_difference_is_found_and_its_absence_is_not(documents):
    suite = documents(2000, 4)
    strong, weak = suite.noisy(0.7, seed=1), suite.noisy(0.5, seed=2)
    stat = gap(strong, weak, seed=0)
    assert stat.value == pytest.approx(0.2, abs=0.04)
    assert 0 < stat.low < stat.value < stat.high
    assert mcnemar(strong, weak).p < 1e-6
    equal = suite.noisy(0.5, seed=3)
    assert gap(equal, weak, seed=0).low < 0 < gap(equal, weak, seed=0).high
    assert mcnemar(equal, weak).p > 0.05


def test_the_gap_is_the_difference_of_accuracies_and_turns_its_sign(readouts):
    a, b = readouts.noisy(0.8, seed=1), readouts.uniform()
    forth, back = gap(a, b, seed=0), gap(b, a, seed=0)
    assert forth.value == pytest.approx(accuracy(a).value - accuracy(b).value)
    assert back.value == -forth.value


def test_pairing_makes_the_interval_narrower(documents):
    suite = documents(600, 4)
    right = np.random.default_rng(0).random(600) < 0.5
    base, better = suite.right_on(right), suite.right_on(right | (np.arange(600) % 10 == 0))
    paired = gap(better, base, seed=0)
    unpaired = gap(better, suite.noisy(0.5, seed=9), seed=0)
    assert paired.high - paired.low < 0.6 * (unpaired.high - unpaired.low)


def test_the_corrected_gap_is_the_difference_of_corrected_accuracies(readouts):
    a, b = readouts.noisy(0.8, seed=1), readouts.noisy(0.5, seed=2)
    room = 1 - np.mean(1 / readouts.n_choices)
    plain, fair = gap(a, b, seed=0), gap_corrected(a, b, seed=0)
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


def test_different_documents_are_refused_with_the_first_difference_and_the_counts(readouts):
    a = readouts.oracle()
    ids = list(a.doc_ids)
    ids[17] = "stranger"
    with pytest.raises(ComparisonError) as caught:
        gap(a, replace(a, doc_ids=tuple(ids)), seed=0)
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
        gap(a, a.take(np.arange(240)[::-1].copy()), seed=0)


def test_another_gold_is_refused(documents):
    suite = documents(50, 4)
    a = suite.oracle()
    gold = a.gold.copy()
    gold[3] = (gold[3] + 1) % 4
    with pytest.raises(ComparisonError, match="differ on 1 of 50 documents, first on 'doc-3'"):
        gap(a, replace(a, gold=gold), seed=0)


def test_documents_that_failed_in_either_leave_both(readouts, with_failures):
    a = with_failures(readouts.noisy(0.9, seed=1), 0, 1)
    b = with_failures(readouts.noisy(0.3, seed=2), 1, 2, 3)
    stat = gap(a, b, seed=0)
    left = np.arange(240) > 3
    assert stat.n == 236
    expected = credit(readouts.noisy(0.9, seed=1))[left] - credit(readouts.noisy(0.3, seed=2))[left]
    assert stat.value == pytest.approx(expected.mean())


def test_no_common_document_is_an_error(documents, with_failures):
    suite = documents(4, 2)
    a, b = with_failures(suite.oracle(), 0, 1), with_failures(suite.oracle(), 2, 3)
    with pytest.raises(ComparisonError, match="each of the 4 documents failed in one"):
        gap(a, b, seed=0)
    with pytest.raises(VlmbenchError, match="all 4 documents failed"):
        gap(a, with_failures(suite.oracle(), 0, 1, 2, 3), seed=0)


def test_coverage_of_a_pair_is_where_both_answered(readouts):
    a = replace(readouts.oracle(), abstained=np.arange(240) < 24)
    b = replace(readouts.oracle(), abstained=np.arange(240) >= 228)
    assert gap(a, b, seed=0).coverage == pytest.approx((240 - 24 - 12) / 240)
