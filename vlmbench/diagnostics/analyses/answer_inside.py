"""Known, not said: what the last position of the prompt holds of the answer, layer by layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import compare, rows_of
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Quantity
from vlmbench.diagnostics.late_layers import FOLDS, fold_of
from vlmbench.metrics import INTERNALS, Clusters, clear_of_zero, credit, told
from vlmbench.spec import Condition, Hidden
from vlmbench.types import ChoiceScores, Stat

INSIDE = Quantity("nested linear readout of the answer", "accuracy")
SHUFFLED = Quantity("the same with shuffled labels", "accuracy")
LENS = Quantity("logit lens", "accuracy")
SAID = Quantity("accuracy of the answer", "accuracy")
LEAD = Quantity("known, not said", "accuracy")

PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Penalties to choose from, each times the width of the states."""

OWN = Condition()
LENS_LABEL = Hidden().at("lens-0").label[:-1]

Floats = NDArray[np.float64]


def outcome(
    scores: ChoiceScores,
    states: NDArray[np.float32],
    lens: dict[int, ChoiceScores],
    *,
    seed: int,
) -> Finding:
    """Return what a linear readout of the last position knows of the answer at every layer.

    Ridge classification of the index of the right choice on the standardised state of the prompt's
    last position (scikit-learn's `RidgeClassifierCV`). Five folds over documents (over clusters
    where they share something) are each answered by a fit that did not see them, whose penalty the
    others choose among themselves, each left out in turn. *Shuffled labels* is the same with gold
    permuted: what the readout finds where there is nothing. *Known, not said* is the readout of
    the layer at three quarters of the depth minus the answer, on the same documents. *Logit lens*:
    the answer that the model's own norm and head would give from each layer
    (https://arxiv.org/abs/2303.08112 says what it cannot see).

    Args:
        scores: The answers, log-likelihoods, from the pass that the states are of.
        states: (n, layers + 1, width) at the prompt's last position.
        lens: Scores of the lens by layer, if read.
        seed: Seed of folds and of the shuffle.
    """
    shared = compare(scores)
    gold, clusters = shared.cells[0].gold, shared.clusters
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(gold)
    found, right = [], np.zeros((len(gold), states.shape[1]))
    for layer in range(states.shape[1]):
        features = states[:, layer].astype(np.float64)
        right[:, layer] = nested(features, gold, clusters, seed=seed)
        null = nested(features, shuffled, clusters, seed=seed)
        found.append(INSIDE.measured(shared.share(right[:, layer]), layer=layer))
        found.append(SHUFFLED.measured(shared.share(null), layer=layer))
    found += [
        LENS.measured(compare(read).share(credit(compare(read).cells[0])), layer=layer)
        for layer, read in sorted(lens.items())
    ]
    said = credit(shared.cells[0])
    late = round(0.75 * (states.shape[1] - 1))
    lead = shared.difference(right[:, late] - said)
    found += [SAID.measured(shared.share(said)), LEAD.measured(lead, layer=late)]
    return Finding(analysis=ANALYSIS, says=_says(lead, late), measurements=tuple(found))


def nested(features: Floats, gold: NDArray[np.int64], clusters: Clusters, *, seed: int) -> Floats:
    """Return 1 for each document that a fit without its fold answers right, else 0: (n,).

    Args:
        features: (n, width).
        gold: (n,) what is to be read.
        clusters: Which documents belong together; they share a fold.
        seed: Seed of the folds.
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fold = fold_of(clusters, FOLDS, seed)
    right = np.zeros(len(gold))
    for held in range(FOLDS):
        out = fold == held
        if not out.any() or out.all() or len(np.unique(gold[~out])) < 2:
            continue
        # In units of what a penalty of 1 on all dimensions together is.
        alphas = [penalty * features.shape[1] for penalty in PENALTIES]
        fit = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas))
        right[out] = fit.fit(features[~out], gold[~out]).predict(features[out]) == gold[out]
    return right


def _says(lead: Stat, layer: int) -> str:
    clear = clear_of_zero(lead) and lead.value > 0
    knows = (
        "knows more of the answer than is said" if clear else "is not clearly ahead of what is said"
    )
    return f"A linear readout of the last position at layer {layer} {knows}: {told(lead)}."


def _run(evidence: Evidence, seed: int) -> Finding | None:
    internals = evidence.internals.get(OWN)
    if internals is None:
        return None
    scores = evidence.need(INTERNALS)
    shared = compare(scores)
    rows = rows_of(internals.doc_ids, shared.cells[0])
    lens = {
        int(readout.removeprefix(LENS_LABEL)): read
        for (readout, condition), read in evidence.scores.items()
        if condition == OWN and readout.startswith(LENS_LABEL)
    }
    return outcome(shared.cells[0], internals.h_last[rows], lens, seed=seed)


ANALYSIS = Analysis(name="answer_inside", title="known, not said", run=_run)
