"""Credit: what each document's scores are worth, with ties shared and abstentions explicit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlmbench.types import ChoiceScores, Problem, VlmbenchError

TIE_TOLERANCE = 1e-9
"""Scores this close to a document's largest, in the scores' own unit, tie with it."""


def kept(scores: ChoiceScores) -> ChoiceScores:
    """Return the documents that could be run.

    Raises:
        VlmbenchError: If every document failed: a metric of nothing is not 0.0.
    """
    if not scores.failed.any():
        return scores
    if scores.failed.all():
        raise VlmbenchError(
            Problem(
                message=f"all {len(scores)} documents failed, so there is nothing to measure",
                remedy="The run's records have the error of each document.",
            )
        )
    return scores.take(~scores.failed)


def answers(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return what each document was answered, as shares that sum to 1.

    Choices within `TIE_TOLERANCE` of a document's largest score share the answer equally. An
    argmax would give every tie to the first letter, and so invent both accuracy and a bias.

    Returns:
        (documents that did not fail, most choices + 1) float64; the last column is abstention.
    """
    scores = kept(scores)
    width = int(scores.n_choices.max())
    open_choices = ~scores.unused()[:, :width] & ~scores.abstained[:, None]
    values = np.where(open_choices, scores.scores[:, :width], -np.inf)
    top = values.max(axis=1, keepdims=True)
    winners = open_choices & (values >= top - TIE_TOLERANCE)
    shares = winners / np.maximum(winners.sum(axis=1, keepdims=True), 1)
    return np.concatenate([shares, scores.abstained[:, None].astype(np.float64)], axis=1)


def credit(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return per-document correctness in [0, 1].

    1/k if gold is among the k choices that share the largest score, 0 otherwise and where the
    document was abstained on. On the scale `credit` the score of gold is the correctness itself.
    (documents that did not fail,) float64, in order.
    """
    scores = kept(scores)
    if scores.scale == "credit":
        earned = scores.scores[np.arange(len(scores)), scores.gold]
        return np.where(scores.abstained, 0.0, earned)
    shares: NDArray[np.float64] = answers(scores)[np.arange(len(scores)), scores.gold]
    return shares


def permute_choices(scores: ChoiceScores, permutation: NDArray[np.int64]) -> ChoiceScores:
    """Return scores in canonical choice order, undoing the order in which choices were shown.

    Args:
        scores: Scores and gold by shown position.
        permutation: (n, max choices) int64; `permutation[i, j]` is the canonical index of the
            choice that document i showed at position j. Positions at and past `n_choices` map to
            themselves.

    Raises:
        ValueError: If a row is not a permutation, or moves a position past `n_choices`.
    """
    n, width = scores.scores.shape
    if permutation.shape != (n, width):
        raise ValueError(f"permutation must be ({n}, {width}), got {permutation.shape}")
    positions = np.broadcast_to(np.arange(width), (n, width))
    if not (np.sort(permutation, axis=1) == positions).all():
        raise ValueError(f"every row of permutation must hold each of 0..{width - 1} once")
    if (permutation != positions)[scores.unused()].any():
        raise ValueError("positions at and past n_choices must map to themselves")
    canonical = np.empty_like(scores.scores)
    np.put_along_axis(canonical, permutation, scores.scores, axis=1)
    return replace(scores, scores=canonical, gold=permutation[np.arange(n), scores.gold])
