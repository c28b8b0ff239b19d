"""Answer distributions over letters and abstention, and how far apart they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics._credit import answers, kept
from vlmbench.metrics._intervals import DRAWS, resampled_means
from vlmbench.metrics._paired import aligned
from vlmbench.types import ChoiceScores, Stat


def answer_distribution(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return how often each letter was answered; ties share, the last entry is abstention.

    (most choices + 1,) float64 that sums to 1.
    """
    distribution: NDArray[np.float64] = answers(scores).mean(axis=0)
    return distribution


def truth_distribution(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return how often each letter is right; the last entry, abstention, is 0.

    (most choices + 1,) float64 that sums to 1.
    """
    distribution: NDArray[np.float64] = _truth(scores).mean(axis=0)
    return distribution


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return 1/2 sum |p - q| of two distributions over the same bins, in [0, 1].

    Raises:
        ValueError: If the shapes differ or one does not sum to 1.
    """
    if p.shape != q.shape:
        raise ValueError(f"the distributions have different bins: {p.shape} and {q.shape}")
    for distribution in (p, q):
        if (distribution < 0).any() or not np.isclose(distribution.sum(), 1.0):
            raise ValueError("a distribution must sum to 1 and have no negative entry")
    return float(np.abs(p - q).sum() / 2)


def tv_between(a: ChoiceScores, b: ChoiceScores, *, seed: int, draws: int = DRAWS) -> Stat:
    """Return the total variation distance between the answers of two readings of the documents.

    The estimate is biased upward, because sampling noise never cancels in a sum of absolute
    values: two equal distributions seldom give 0. It is not corrected for that; instead the
    interval of `distance_stat` starts above 0 only where the distance is more than noise.
    `coverage` is the share of documents that both answered.

    Raises:
        ComparisonError: If the two do not cover identical documents in identical order.
    """
    a, b = aligned(a, b)
    answered = ~a.abstained & ~b.abstained
    return distance_stat(
        (answers(a) - answers(b)) / 2,
        coverage=float(answered.mean()),
        seed=seed,
        draws=draws,
    )


def tv_to_truth(scores: ChoiceScores, *, seed: int, draws: int = DRAWS) -> Stat:
    """Return the total variation distance between answers and truth; see `tv_between`."""
    scores = kept(scores)
    return distance_stat(
        (answers(scores) - _truth(scores)) / 2,
        coverage=float((~scores.abstained).mean()),
        seed=seed,
        draws=draws,
    )


def distance_stat(
    differences: NDArray[np.float64], *, coverage: float, seed: int, draws: int
) -> Stat:
    """Return the absolute column means of `differences`, summed, with its 95% interval.

    The interval is the estimate plus and minus the 95% quantile of the distance between a
    bootstrap resample's column means and the sample's, clipped to [0, 1]. By the triangle
    inequality it covers wherever the column means do, at any true distance and at 0 too, where
    the percentile and basic bootstraps of a distance fail; elsewhere it is wider than need be.

    Args:
        differences: (n, bins) float64, one row per document.
        coverage: Share of documents that were answered.
        seed: Seed of the resampling.
        draws: Number of resamples.
    """
    means = differences.mean(axis=0)
    drawn = resampled_means(differences, np.random.default_rng(seed), draws)
    reach = float(np.quantile(np.abs(drawn - means).sum(axis=1), 0.95))
    # A sum of fractions may pass 1 by a rounding error.
    value = min(float(np.abs(means).sum()), 1.0)
    return Stat(
        value=value,
        low=max(value - reach, 0.0),
        high=min(value + reach, 1.0),
        n=len(differences),
        coverage=coverage,
    )


def _truth(scores: ChoiceScores) -> NDArray[np.float64]:
    scores = kept(scores)
    truth = np.zeros((len(scores), int(scores.n_choices.max()) + 1))
    truth[np.arange(len(scores)), scores.gold] = 1.0
    return truth
