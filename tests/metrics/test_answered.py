"""Numbers without what could not be read, beside those in which that counts as wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vlmbench.metrics import accuracy, accuracy_answered, gap, gap_answered, has_unread, wilson
from vlmbench.types import ComparisonError


def unread(scores, *positions):
    abstained = np.zeros(len(scores), bool)
    abstained[list(positions)] = True
    return replace(scores, abstained=abstained)


def test_accuracy_among_answered_is_that_of_the_answered_documents(readouts):
    scores = readouts.right_on(np.arange(240) < 60)
    some = unread(scores, *range(40))  # forty of the sixty that were right
    stat = accuracy_answered(some)
    assert (stat.value, stat.n) == (20 / 200, 200)
    assert (stat.low, stat.high) == wilson(20, 200)
    assert stat.coverage == accuracy(some).coverage == 200 / 240
    assert accuracy(some).value == 20 / 240


def test_where_all_is_answered_both_are_the_same(readouts):
    scores = readouts.noisy(0.4, seed=3)
    assert accuracy_answered(scores) == accuracy(scores)
    other = readouts.noisy(0.6, seed=4)
    assert gap_answered(scores, other, seed=0)[0] == gap(scores, other)


def test_nothing_answered_is_no_number_rather_than_zero(readouts):
    silent = readouts.abstainer()
    stat = accuracy_answered(silent)
    assert math.isnan(stat.value)
    assert (stat.n, stat.coverage) == (240, 0.0)
    both = gap_answered(readouts.oracle(), silent, seed=0)
    assert all(math.isnan(number.value) and number.n == 240 for number in both)


def test_the_gap_is_paired_on_what_both_answered(readouts):
    encoder = unread(readouts.oracle(), 0, 1)
    model = unread(readouts.right_on(np.arange(240) < 120), *range(1, 21))
    stat, p = gap_answered(encoder, model, seed=0)
    assert (stat.n, stat.coverage) == (219, 219 / 240)
    assert stat.value == pytest.approx(120 / 219)
    assert p.n == 219
    turned, _ = gap_answered(model, encoder, seed=0)
    assert turned.value == -stat.value


def test_failed_documents_are_neither_answered_nor_unread(readouts, with_failures):
    scores = unread(with_failures(readouts.oracle(), 0, 1, 2), 3, 4)
    stat = accuracy_answered(scores)
    assert (stat.value, stat.n, stat.coverage) == (1.0, 235, 235 / 237)


def test_text_and_abstentions_are_what_leaves_something_unread(readouts):
    assert has_unread(readouts.oracle())  # a vote: it was read from text
    likely = readouts.random(seed=0)
    assert not has_unread(likely)
    assert has_unread(unread(likely, 5))
    assert has_unread(replace(likely, scale="credit"))


def test_other_documents_are_refused(readouts, documents):
    with pytest.raises(ComparisonError):
        gap_answered(readouts.oracle(), documents(12, 2).oracle(), seed=0)
