"""How probable a model finds all choices together: whether it would answer with one of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vlmbench.metrics._credit import kept
from vlmbench.metrics._rows import StatRow
from vlmbench.types import ChoiceScores, Stat

MASS, LOW_MASS = "choice_mass", "choice_mass_p05"
# Below these a model would rather write something else, to most questions or to one in twenty.
SMALL_MASS, SMALL_LOW_MASS = 0.5, 0.05
_LOW = 5.0  # percentile


def choice_mass(scores: ChoiceScores) -> dict[str, Stat]:
    """Return the probability that a model gives to all choices of a document together.

    It is the sum of the choices' probabilities, each of the whole choice. Where the tokens of one
    choice begin another ("1" and "10"), the shorter one's holds the longer one's too, so sums are
    cut at 1.

    Args:
        scores: Log-likelihoods (scale `logprob`) under a model's own distribution over texts.

    Returns:
        By metric: the mean over documents, and the 5th percentile.
    """
    found = kept(scores)
    used = np.where(found.unused(), -np.inf, found.scores)
    masses = np.minimum(np.exp(used).sum(axis=1), 1.0)
    values = {MASS: masses.mean(), LOW_MASS: np.percentile(masses, _LOW)}
    return {metric: Stat(value=float(value), n=len(masses)) for metric, value in values.items()}


def small_masses(rows: Iterable[StatRow]) -> list[tuple[StatRow, StatRow]]:
    """Return the cells whose choices the model would often not write: mean and 5th percentile."""
    found = {row.key: row for row in rows if row.metric in (MASS, LOW_MASS)}
    pairs = [
        (row, found.get((*key[:-1], LOW_MASS))) for key, row in found.items() if key[-1] == MASS
    ]
    return [
        (mean, low)
        for mean, low in pairs
        if low is not None and (mean.value < SMALL_MASS or low.value < SMALL_LOW_MASS)
    ]
