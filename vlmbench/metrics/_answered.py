"""What is left when unread answers are left out instead of counting as wrong."""

from __future__ import annotations

import math
from dataclasses import replace

from vlmbench.metrics._accuracy import accuracy
from vlmbench.metrics._credit import kept
from vlmbench.metrics._paired import aligned, flip_p, gap, mcnemar
from vlmbench.types import ChoiceScores, Stat


def has_unread(scores: ChoiceScores) -> bool:
    """Tell whether answers were read from text, or some document was abstained on."""
    return scores.scale in ("vote", "credit") or bool(scores.abstained.any())


def accuracy_answered(scores: ChoiceScores) -> Stat:
    """Return mean credit with Wilson's interval over the documents that were answered.

    `n` counts these, and `coverage` says what share of all documents they are. NaN where none
    was answered, with the `n` of all. Which documents are answered is the model's own choice, so
    this number is read beside `accuracy` and not in its place.
    """
    scores = kept(scores)
    read = ~scores.abstained
    if not read.any():
        return Stat(value=math.nan, n=len(scores), coverage=0.0)
    return replace(accuracy(scores.take(read)), coverage=float(read.mean()))


def gap_answered(encoder: ChoiceScores, prompted: ChoiceScores, *, seed: int) -> tuple[Stat, Stat]:
    """Return the gap over the documents that both answered, and the p-value on these.

    `n` and `coverage` are those of `accuracy_answered`; both are NaN where no document is left,
    and p where every one is tied.

    Raises:
        ComparisonError: If the two do not cover identical documents in identical order.
    """
    encoder, prompted = aligned(encoder, prompted)
    read = ~encoder.abstained & ~prompted.abstained
    if not read.any():
        nothing = Stat(value=math.nan, n=len(encoder), coverage=0.0)
        return nothing, nothing
    encoder, prompted = encoder.take(read), prompted.take(read)
    found = replace(gap(encoder, prompted), coverage=float(read.mean()))
    return found, p_stat(encoder, prompted, seed=seed)


def p_stat(encoder: ChoiceScores, prompted: ChoiceScores, *, seed: int) -> Stat:
    """Return McNemar's p over the documents in its table; NaN where all are tied.

    With a tie on every document there is no table: no p-value is not a p-value of 1. Where
    documents share something, the p-value of flipped signs, over all documents.
    """
    if encoder.clusters is not None:
        n = len(aligned(encoder, prompted)[0])
        return Stat(value=flip_p(encoder, prompted, seed=seed), n=n)
    test = mcnemar(encoder, prompted)
    if not test.tested:
        return Stat(value=math.nan, n=test.fractional)
    return Stat(value=test.p, n=test.tested)
