"""Calibration: only for scores that are, or normalise to, probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics._credit import credit, kept
from vlmbench.metrics._distributions import distance_stat
from vlmbench.metrics._intervals import DRAWS
from vlmbench.types import ChoiceScores, Problem, Stat, VlmbenchError


def probabilities(scores: ChoiceScores) -> NDArray[np.float64]:
    """Return a probability per choice: softmax of log-likelihoods, or probabilities as they are.

    Returns:
        (documents that did not fail, max choices) float64; 0 past `n_choices`, and rows of NaN for
        documents that were abstained on.

    Raises:
        VlmbenchError: If the scale is `similarity` or `vote`, or if probabilities do not sum to 1.
    """
    if scores.scale not in ("logprob", "probability"):
        raise VlmbenchError(
            Problem(
                field="scale",
                message=f"scores on the scale {scores.scale!r} are not probabilities",
                remedy="Calibration is defined only for 'logprob' and 'probability'.",
            )
        )
    scores = kept(scores)
    open_choices = ~scores.unused() & ~scores.abstained[:, None]
    # Abstained rows may hold anything; zeros keep the arithmetic quiet until NaN replaces them.
    values = np.where(scores.abstained[:, None], 0.0, scores.scores)
    if scores.scale == "logprob":
        top = values.max(axis=1, keepdims=True)
        weights = np.where(open_choices, np.exp(values - top), 0.0)
    else:
        weights = np.where(open_choices, values, 0.0)
        off = (weights < 0).any(axis=1) | (np.abs(weights.sum(axis=1) - 1) > 1e-6)
        _refuse(scores, off & ~scores.abstained, "probabilities do not sum to 1")
    weights[scores.abstained] = np.nan
    result: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return result


def expected_calibration_error(
    scores: ChoiceScores, *, seed: int, bins: int = 10, draws: int = DRAWS
) -> Stat:
    """Return the mean distance between confidence and credit over equal bins of confidence.

    Confidence is the largest probability. Documents abstained on have none and are left out:
    `coverage` says how many were. Like `tv_between` the estimate is biased upward, and its
    interval is that of `distance_stat`. Guo et al. 2017, https://arxiv.org/abs/1706.04599, with
    bins of equal width; their credit knows no ties.

    Raises:
        VlmbenchError: If the scale has no probabilities, or every document was abstained on.
    """
    scores = kept(scores)
    answered = ~scores.abstained
    if not answered.any():
        raise VlmbenchError("every document was abstained on: there is no confidence to calibrate")
    confidence = probabilities(scores)[answered].max(axis=1)
    excess = confidence - credit(scores)[answered]
    differences = np.zeros((len(excess), bins))
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    differences[np.arange(len(excess)), bin_of] = excess
    return distance_stat(differences, coverage=float(answered.mean()), seed=seed, draws=draws)


def _refuse(scores: ChoiceScores, wrong: NDArray[np.bool_], message: str) -> None:
    if wrong.any():
        raise VlmbenchError(
            Problem(message=f"{scores.doc_ids[i]}: {message}") for i in np.flatnonzero(wrong)
        )
