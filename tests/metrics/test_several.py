"""Adjusted p-values: by hand, and beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from vlmbench.metrics import false_discovery, holm

several = st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array)


def test_holm_by_hand():
    assert holm(np.array([0.04, 0.01, 0.03, 0.02])).tolist() == pytest.approx(
        [0.06, 0.04, 0.06, 0.06]
    )
    assert holm(np.array([0.001])).tolist() == [0.001]
    assert holm(np.array([])).tolist() == []


@given(p=several)
def test_holm_steps_down_from_bonferroni(p):
    # By definition: the largest (m - rank + 1) p of all that are no larger, at most 1.
    order = np.sort(p)
    for value, adjusted in zip(p, holm(p), strict=True):
        steps = [(len(p) - rank) * one for rank, one in enumerate(order) if one <= value]
        assert adjusted == pytest.approx(min(max(steps), 1.0))
        assert value <= adjusted <= min(1.0, len(p) * value) + 1e-12


@given(p=several)
def test_the_false_discovery_rate_is_scipys(p):
    assert false_discovery(p) == pytest.approx(false_discovery_control(p), abs=1e-12)
    assert (false_discovery(p) <= holm(p) + 1e-12).all()


def test_holm_keeps_the_family_wise_rate():
    rng = np.random.default_rng(0)
    p = rng.random((2000, 20))
    wrong = np.mean([(holm(row) < 0.05).any() for row in p])
    assert wrong == pytest.approx(0.05, abs=0.015)
