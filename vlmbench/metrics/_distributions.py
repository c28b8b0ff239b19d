"""Answer distributions over letters and abstention, and how far apart they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics._bootstrap import DRAWS, distance_stat
from vlmbench.metrics._clusters import Clusters, Floats
from vlmbench.metrics._credit import answers, kept
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
        Clusters.among(a),
        coverage=float(answered.mean()),
        seed=seed,
        draws=draws,
    )


def tv_to_truth(scores: ChoiceScores, *, seed: int, draws: int = DRAWS) -> Stat:
    """Return the total variation distance between answers and truth; see `tv_between`.

    How often each letter is right is taken as known: it is often balanced by design, and other
    documents would be balanced again. The resamples therefore hold what the answers of documents
    with the same right letter differ by from each other.
    """
    scores = kept(scores)
    given = answers(scores) / 2
    return distance_stat(
        given - _truth(scores) / 2,
        Clusters.among(scores),
        coverage=float((~scores.abstained).mean()),
        seed=seed,
        draws=draws,
        noise=_within(given, scores.gold),
    )


def _within(rows: Floats, strata: NDArray[np.int64]) -> Floats:
    """Return rows less their stratum's mean, scaled up by what a mean of few takes away.

    A stratum of one document tells nothing of its own spread: its row is compared with all.
    """
    left: Floats = rows - rows.mean(axis=0)
    for stratum in np.unique(strata):
        held = strata == stratum
        count = int(held.sum())
        if count > 1:
            left[held] = (rows[held] - rows[held].mean(axis=0)) * np.sqrt(count / (count - 1))
    return left


def _truth(scores: ChoiceScores) -> NDArray[np.float64]:
    scores = kept(scores)
    truth = np.zeros((len(scores), int(scores.n_choices.max()) + 1))
    truth[np.arange(len(scores)), scores.gold] = 1.0
    return truth
