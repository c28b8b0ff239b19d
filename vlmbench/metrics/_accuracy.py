"""Accuracy, what it must be compared with, and what it leaves out."""

from __future__ import annotations

import math

import numpy as np

from vlmbench.metrics._clusters import Clusters
from vlmbench.metrics._credit import credit, kept
from vlmbench.metrics._intervals import rate_stat
from vlmbench.types import ChoiceScores, Stat


def accuracy(scores: ChoiceScores) -> Stat:
    """Return mean credit with Wilson's interval over the documents that did not fail.

    Abstentions count as wrong and lower `coverage`. With ties the interval is conservative; see
    `wilson`. Where documents share something it is that of the effective n.
    """
    scores = kept(scores)
    coverage = float((~scores.abstained).mean())
    return rate_stat(credit(scores), Clusters.among(scores), coverage=coverage)


def effective_n(scores: ChoiceScores) -> float:
    """Return how many independent documents would tell as much about the accuracy."""
    scores = kept(scores)
    return Clusters.among(scores).effective_n(credit(scores))


def chance(scores: ChoiceScores) -> float:
    """Return the expected accuracy of a uniform guess: the mean of 1 / n_choices."""
    return float((1.0 / kept(scores).n_choices).mean())


def majority(scores: ChoiceScores) -> float:
    """Return the accuracy of the best constant letter: the rate of the most common gold index."""
    gold = kept(scores).gold
    return float(np.bincount(gold).max() / len(gold))


def corrected(stat: Stat, chance: float) -> Stat:
    """Return (accuracy - chance) / (1 - chance) of the value and its interval.

    0 is a guess, 1 is perfect, and below 0 is worse than a guess. NaN if chance is 1 (one choice),
    because nothing can be better than a guess then. Chance is taken as known, which it
    is: it follows from the number of choices.
    """
    room = 1.0 - chance
    if room <= 0.0:
        return Stat(value=math.nan, n=stat.n, coverage=stat.coverage)
    return stat.mapped(lambda rate: (rate - chance) / room)


def abstention(scores: ChoiceScores) -> Stat:
    """Return the share of documents without a readable answer, with Wilson's interval."""
    scores = kept(scores)
    return rate_stat(
        scores.abstained.astype(np.float64),
        Clusters.among(scores),
        coverage=float((~scores.abstained).mean()),
    )


def failures(scores: ChoiceScores) -> int:
    """Return the number of documents that could not be run at all."""
    return int(scores.failed.sum())
