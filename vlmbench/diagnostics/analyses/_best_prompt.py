"""The best of several prompts, chosen on other documents than those it is judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import Comparison, ratio_of, restricted
from vlmbench.diagnostics._outcome import Measurement, Quantity
from vlmbench.metrics import Clusters, above, credit
from vlmbench.types import ChoiceScores

BEST = Quantity("accuracy of the best prompt", "accuracy")
GAIN_BEST = Quantity("gain of the best prompt", "accuracy")
GAP = Quantity("gap to the encoder", "accuracy")
CLOSED = Quantity("share of the gap that the best prompt closes", "share")

HALVINGS = 50
"""Random halves of the documents; their mean hardly hangs on one draw."""


def best_prompt(
    shared: Comparison,
    earned: NDArray[np.float64],
    encoder: ChoiceScores | None,
    *,
    seed: int,
) -> list[Measurement]:
    """Return what the best of all prompts gets right, and how much of the gap it closes.

    Cross-fitted: the documents are cut in two halves, clusters whole; the prompt that is best on
    one half is judged by the other, and the reverse; this is averaged over `HALVINGS` random cuts.
    Choosing on the very documents that are reported (best of K) would find a gain where prompts
    only differ by chance. Where two prompts are level the plain one is taken, so that a model
    which answers all of them alike gains exactly nothing. A half chooses less surely than the
    whole, so that what is found is rather too little. The interval takes the choices as given: of
    15 prompts that differ by chance alone it lies above 0 in 2 to 5 draws of 100, and below 0 in
    2 to 11. The *share closed* is the gain over the encoder's lead under the plain prompt; it is
    given where that lead's interval lies above 0.

    Args:
        shared: The compared cells, the plain one first.
        earned: (n, prompts) float64 of the same documents, the plain prompt first.
        encoder: The encoder's readout; None if not run.
        seed: Seed of halves and bootstrap.

    Returns:
        Measurements; none of a single cluster, which cannot be halved.

    Raises:
        ComparisonError: If the encoder lacks compared documents or orders them otherwise.
    """
    if len(shared.clusters) < 2:
        return []
    chosen = cross_fitted(earned, shared.clusters, seed=seed)
    gain = chosen - earned[:, 0]
    found = [
        BEST.measured(shared.share(np.clip(chosen, 0.0, 1.0))),
        GAIN_BEST.measured(shared.difference(gain)),
    ]
    if encoder is None:
        return found
    read = restricted(encoder, shared.cells[0].doc_ids)
    if read.failed.all():
        return found
    left, ran = shared.only(~read.failed), ~read.failed
    lead = credit(read) - earned[ran, 0]
    gap = left.difference(lead)
    found += [
        GAP.measured(gap, under="plain"),
        GAP.measured(left.difference(credit(read) - chosen[ran]), under="best"),
    ]
    if above(gap.low):
        closed = ratio_of(gain[ran], lead, left.clusters, coverage=left.coverage, seed=seed)
        found.append(CLOSED.measured(closed))
    return found


def cross_fitted(
    earned: NDArray[np.float64], clusters: Clusters, *, seed: int
) -> NDArray[np.float64]:
    """Return each document's credit under the prompt that is best on halves it is not in: (n,)."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(earned))
    for _ in range(HALVINGS):
        order = rng.permutation(len(clusters))
        first = np.isin(clusters.index, order[: len(clusters) // 2])
        for judged in (first, ~first):
            # Sums of halves and thirds in another order differ in the last digits: that is no lead.
            means = np.round(earned[~judged].mean(axis=0), 12)
            chosen[judged] += earned[judged, int(means.argmax())]
    return chosen / HALVINGS
