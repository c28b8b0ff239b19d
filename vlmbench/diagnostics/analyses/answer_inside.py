"""Known, not said: what the last position of the prompt holds of the answer, layer by layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
COMMONEST = Quantity("accuracy of the commonest index", "accuracy")
BLANK = Quantity("the same readout of a blank image's states", "accuracy")
LEAD = Quantity("known, not said", "accuracy")

PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Penalties to choose from, each times the width of the states."""

OWN, WITHOUT = Condition(), Condition.parse("blank")
LENS_LABEL = Hidden().at("lens-0").label[:-1]

Floats = NDArray[np.float64]


def outcome(
    scores: ChoiceScores,
    states: NDArray[np.float32],
    lens: dict[int, ChoiceScores],
    *,
    blank: NDArray[np.float32] | None = None,
    seed: int,
) -> Finding:
    """Return what a linear readout of the last position knows of the answer at every layer.

    Ridge classification of the index of the right choice on the standardised state of the prompt's
    last position (scikit-learn's `RidgeClassifierCV`). Five folds over documents (over clusters
    where they share something) are each answered by a fit that did not see them, whose penalty the
    others choose among themselves, each left out in turn. *Shuffled labels* is the same with gold
    permuted: what the readout finds where there is nothing. *Known, not said* is the readout of
    the layer at three quarters of the depth minus the best of what it has to beat, paired on the
    same documents: the answer, the commonest index of these documents, the readout with shuffled
    labels, and the same readout of the states of a pass with blank images. That one says what the
    text alone tells a linear readout; without it, nothing is claimed. Its interval does not count
    the choice of the best, which can only make the difference smaller. *Logit lens*: the answer
    that the model's own norm and head would give from each layer
    (https://arxiv.org/abs/2303.08112 says what it cannot see).

    Args:
        scores: The answers, log-likelihoods, from the pass that the states are of.
        states: (n, layers + 1, width) at the prompt's last position.
        lens: Scores of the lens by layer, if read.
        blank: As `states`, of the same documents with blank images; None if not run.
        seed: Seed of folds and of the shuffle.
    """
    shared = compare(scores)
    gold, clusters = shared.cells[0].gold, shared.clusters
    shuffled = np.random.default_rng(seed).permutation(gold)
    late = round(0.75 * (states.shape[1] - 1))
    right, null = (
        [
            nested(states[:, layer].astype(np.float64), labels, clusters, seed=seed)
            for layer in range(states.shape[1])
        ]
        for labels in (gold, shuffled)
    )
    found = [INSIDE.measured(shared.share(hit), layer=layer) for layer, hit in enumerate(right)]
    found += [SHUFFLED.measured(shared.share(hit), layer=layer) for layer, hit in enumerate(null)]
    found += [
        LENS.measured(compare(read).share(credit(compare(read).cells[0])), layer=layer)
        for layer, read in sorted(lens.items())
    ]
    said = credit(shared.cells[0])
    commonest = (gold == np.bincount(gold).argmax()).astype(np.float64)
    found += [SAID.measured(shared.share(said)), COMMONEST.measured(shared.share(commonest))]
    rivals = {"what is said": said, "the commonest index": commonest, "shuffled labels": null[late]}
    if blank is not None:
        text = nested(blank[:, late].astype(np.float64), gold, clusters, seed=seed)
        found.append(BLANK.measured(shared.share(text), layer=late))
        rivals["the same readout with a blank image"] = text
    best = max(rivals, key=lambda name: float(rivals[name].mean()))
    lead = shared.difference(right[late] - rivals[best])
    found.append(LEAD.measured(lead, layer=late))
    says = _says(lead, late, best, controlled=blank is not None)
    return Finding(analysis=ANALYSIS, says=says, measurements=tuple(found))


def nested(features: Floats, gold: NDArray[np.int64], clusters: Clusters, *, seed: int) -> Floats:
    """Return 1 for each document that a fit without its fold answers right, else 0: (n,).

    Args:
        features: (n, width).
        gold: (n,) what is to be read.
        clusters: Which documents belong together; they share a fold.
        seed: Seed of the folds.
    """
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


def _says(lead: Stat, layer: int, best: str, *, controlled: bool) -> str:
    clear = clear_of_zero(lead) and lead.value > 0
    start = f"A linear readout of the last position at layer {layer}"
    if clear and controlled:
        return f"{start} knows more of the answer than is said: {told(lead)} over {best}."
    if clear:
        return (
            f"{start} is {told(lead)} ahead of {best}, but the text alone may know that much: no "
            "states of a blank image were read."
        )
    return f"{start} is not clearly ahead of {best}, the best of its controls: {told(lead)}."


def _run(evidence: Evidence, seed: int) -> Finding | None:
    internals, without = (evidence.internals.get(condition) for condition in (OWN, WITHOUT))
    if internals is None:
        return None
    cells = [evidence.need(INTERNALS)]
    cells += [] if without is None else [evidence.need(INTERNALS, WITHOUT.label)]
    scores = compare(*cells).cells[0]
    lens = {
        int(readout.removeprefix(LENS_LABEL)): read
        for (readout, condition), read in evidence.scores.items()
        if condition == OWN and readout.startswith(LENS_LABEL)
    }
    blank = None if without is None else without.h_last[rows_of(without.doc_ids, scores)]
    own = internals.h_last[rows_of(internals.doc_ids, scores)]
    return outcome(scores, own, lens, blank=blank, seed=seed)


ANALYSIS = Analysis(name="answer_inside", title="known, not said", run=_run)
