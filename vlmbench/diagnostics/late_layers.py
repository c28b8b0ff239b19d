"""What a linear readout of each layer's states knows about the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from vlmbench.diagnostics._outcome import Measurement, Quantity
from vlmbench.metrics import Clusters, rate_stat
from vlmbench.types import Stat

READOUT = Quantity("linear readout of the answer", "accuracy")
CHANCE = Quantity("chance", "accuracy")
MAJORITY = Quantity("majority", "accuracy")
HEAD = Quantity("accuracy of the language-model head", "accuracy")

Of = Literal["last", "image", "blank"]
"""States of the prompt's last position, their mean over the image, and those of the last position
in a pass with a blank image in the image's place."""

FOLDS = 5

C = 10.0
"""Inverse strength of the L2 penalty, on standardised features divided by the root of their
number (so that it means the same at any width). Fixed, never chosen: there is no split to choose
it on that is not reported."""


def readout_accuracies(
    states: Mapping[Of, NDArray[np.float32]],
    gold: NDArray[np.int64],
    n_choices: NDArray[np.int64],
    clusters: Clusters,
    *,
    coverage: float,
    seed: int,
) -> list[Measurement]:
    """Return the cross-validated accuracy of a linear readout of the right choice, per layer.

    Multinomial logistic regression on standardised states, five folds over documents (over
    clusters where they share something), each answered by the fit that did not see it. Reads the
    index of the right choice, so chance is the mean of 1 / n_choices; both it and the commonest
    index's rate are given. It says that the states hold the answer linearly, not that the model
    could use it there, and with a few hundred documents a low accuracy says little.

    Args:
        states: (n, layers + 1, width) by what they are of.
        gold: (n,) int64, index of the right choice.
        n_choices: (n,) int64.
        clusters: Which documents belong together.
        coverage: Share of the documents asked that these are.
        seed: Seed of the folds.
    """
    n = len(gold)
    fold = fold_of(clusters, FOLDS, seed)
    found = []
    for of, values in states.items():
        for layer in range(values.shape[1]):
            right = _right(values[:, layer].astype(np.float64), gold, fold)
            stat = rate_stat(right, clusters, coverage=coverage)
            found.append(READOUT.measured(stat, layer=layer, of=of))
    chance = Stat(value=float((1 / n_choices).mean()), n=n, coverage=coverage)
    majority = Stat(value=float(np.bincount(gold).max() / n), n=n, coverage=coverage)
    return [*found, CHANCE.measured(chance), MAJORITY.measured(majority)]


def fold_of(clusters: Clusters, folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each document, (n,) int64; those of a cluster share one."""
    order = np.random.default_rng(seed).permutation(np.arange(len(clusters)) % folds)
    found: NDArray[np.int64] = order[clusters.index]
    return found


def _right(
    features: NDArray[np.float64], gold: NDArray[np.int64], fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return 1 for each document that the fit without its fold answers right, else 0."""
    right = np.zeros(len(gold))
    for held in range(FOLDS):
        out = fold == held
        if out.any() and not out.all():
            right[out] = _predicted(features[~out], gold[~out], features[out]) == gold[out]
    return right


def _predicted(
    train: NDArray[np.float64], gold: NDArray[np.int64], test: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the answers of a fit on `train` to `test`."""
    values, counts = np.unique(gold, return_counts=True)
    if len(values) == 1:
        return np.full(len(test), values[0])
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, np.inf)
    scale = scale * np.sqrt(train.shape[1])
    train, test = (train - mean) / scale, (test - mean) / scale
    # The penalised optimum lies in the span of the training rows, so a rotation into that span
    # changes no prediction and makes wide states cheap.
    _, sizes, axes = np.linalg.svd(train, full_matrices=False)
    axes = axes[sizes > 1e-9]
    if len(axes) == 0:
        return np.full(len(test), values[counts.argmax()])
    fit = LogisticRegression(C=C, max_iter=2000).fit(train @ axes.T, gold)
    predicted: NDArray[np.int64] = fit.predict(test @ axes.T)
    return predicted
