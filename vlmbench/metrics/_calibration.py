"""Calibration: only for scores that are, or normalise to, probabilities."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics._bootstrap import DRAWS, distance_stat
from vlmbench.metrics._clusters import Clusters, Floats
from vlmbench.metrics._credit import credit, kept
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
    interval is that of `distance_stat`, which reaches at least as far as the error of a calibrated
    model with these confidences would in 95% of draws: a bin in which nothing has gone wrong yet
    does not show how much may. Guo et al. 2017, https://arxiv.org/abs/1706.04599, with bins of
    equal width; their credit knows no ties. The draws are those of Broecker and Smith 2007,
    https://doi.org/10.1175/WAF993.1.

    Raises:
        VlmbenchError: If the scale has no probabilities, or every document was abstained on.
    """
    scores = kept(scores)
    answered = ~scores.abstained
    if not answered.any():
        raise VlmbenchError("every document was abstained on: there is no confidence to calibrate")
    confidence = probabilities(scores)[answered].max(axis=1)
    clusters = Clusters.of(scores.cluster_of[answered])
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    in_bin = np.eye(bins)[bin_of]
    excess = confidence - credit(scores)[answered]
    calibrated = _calibrated(confidence, in_bin, np.random.default_rng(seed), draws)
    alike = len(excess) / max(clusters.effective_n(excess), 1e-9)
    return distance_stat(
        in_bin * excess[:, None],
        clusters,
        coverage=float(answered.mean()),
        seed=seed,
        draws=draws,
        least=calibrated * math.sqrt(alike),
    )


def _calibrated(confidence: Floats, in_bin: Floats, rng: np.random.Generator, draws: int) -> float:
    """Return the 95% quantile of the error of a model that is right as often as it is confident."""
    excess = confidence - (rng.random((draws, len(confidence))) < confidence)
    error = np.abs(np.einsum("dn,nb->db", excess, in_bin)).sum(axis=1) / len(confidence)
    return float(np.quantile(error, 0.95))


def _refuse(scores: ChoiceScores, wrong: NDArray[np.bool_], message: str) -> None:
    if wrong.any():
        raise VlmbenchError(
            Problem(message=f"{scores.doc_ids[i]}: {message}") for i in np.flatnonzero(wrong)
        )
