"""The smallest gap a comparison could have seen, beside exact power and simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from vlmbench.metrics import gap, gap_power, mcnemar, smallest_gap


@pytest.mark.parametrize(("n", "discordance"), [(100, 0.5), (300, 0.5), (300, 0.2), (1000, 0.3)])
def test_the_smallest_gap_is_found_in_four_runs_of_five(n, discordance):
    gap_ = smallest_gap(n, discordance)
    share = (discordance + gap_) / 2 / discordance
    power = 0.0
    for count in range(n + 1):
        p = 2 * binom.cdf(np.arange(count // 2 + 1), count, 0.5)
        least = int((p < 0.05).sum())  # fewer than so many either way
        found = binom.cdf(least - 1, count, share) + binom.sf(count - least, count, share)
        power += binom.pmf(count, n, discordance) * (found if least else 0.0)
    # The exact test is a little more cautious than the formula that counts with normal tails.
    assert 0.74 <= power <= 0.82


def test_it_is_the_published_formula():
    gap_, n, s = smallest_gap(300, 0.4), 300, 0.4
    assert n * gap_**2 == pytest.approx(
        (1.959964 * np.sqrt(s) + 0.841621 * np.sqrt(s - gap_**2)) ** 2, rel=1e-5
    )
    assert smallest_gap(300) == pytest.approx(0.114, abs=5e-4)


def test_a_gap_needs_documents_to_stand_on():
    # Six of six discordant documents are the fewest with p < .05; eight are expected at .8 power.
    assert smallest_gap(300, 0.0) == pytest.approx(7.8 / 300, rel=0.01)
    assert np.isnan([smallest_gap(5, 0.0), smallest_gap(5, 1.0), smallest_gap(0)]).all()
    assert smallest_gap(6, 0.0) < 1.0


def test_more_documents_and_less_discordance_show_smaller_gaps():
    assert smallest_gap(1000) < smallest_gap(300) < smallest_gap(100)
    assert smallest_gap(300, 0.1) < smallest_gap(300, 0.3)


def test_the_data_give_discordance_and_effective_n(documents):
    suite = documents(300, 4)
    a, b = suite.noisy(0.8, seed=1), suite.noisy(0.6, seed=2)
    test = mcnemar(a, b)
    stat, effective = gap_power(a, b)
    assert effective == 300
    assert stat.value == smallest_gap(300, (test.only_a + test.only_b) / 300)
    together = np.arange(300) // 6 * 6
    fewer, worth = gap_power(replace(a, clusters=together), replace(b, clusters=together))
    assert worth < 300
    assert fewer.value > stat.value
    assert gap(a, b).value > stat.value
