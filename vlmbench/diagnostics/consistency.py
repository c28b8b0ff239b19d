"""Cross-modal consistency: do image and text states share information, given the answer?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._cells import OWN
from vlmbench.diagnostics._comparison import compare, rows_of
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._mutual_information import (
    SMALLEST_CLASS,
    Shared,
    Shuffles,
    conditional_information,
    conditional_ksg,
)
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.diagnostics.late_layers import HEAD, readout_accuracies
from vlmbench.metrics import INTERNALS, brief, credit, told
from vlmbench.types import Stat

INFORMATION = Quantity("information", "bits")
NULL = Quantity("permutation null", "bits")
NEAREST_NEIGHBOURS = Quantity("information by nearest neighbours", "bits")
P = Quantity("p", "p")
P_OVER_LAYERS = Quantity("p over layers", "p")

PERMUTATIONS = 500

LEVEL = 0.01
"""The test holds below this p-value."""

OPEN = 0.05
"""Between `LEVEL` and this the test is open; from here on it fails."""


def outcome(
    h_image: NDArray[np.float32],
    h_text: NDArray[np.float32],
    y: NDArray[np.int64],
    *,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> Outcome:
    """Return I(h_image; h_text | y) per layer of the language model, in bits.

    h_image is the mean state over image positions, h_text the mean over the question's text
    positions after the image, y the index of the right choice. See `conditional_information` for
    the estimator and for what it cannot see; the KSG estimate given with it is not corrected by
    permutations and has no interval. Documents of classes with fewer than `SMALLEST_CLASS`
    documents are left out, and coverage says so.

    The test holds if some layer's information exceeds its permutation null at p < .01, with the
    number of layers accounted for: the same permutations serve all layers, and the largest of
    the layers' standardised values is compared with the largest of each permutation's. It is open
    between .01 and .05. Layer 0, the embeddings, is shown and does not count: nothing has been
    fused there, and what the two share, question and image shared beforehand. What later layers
    share is not freed of that.

    Args:
        h_image: (n, layers + 1, width) states, layer 0 being the embeddings.
        h_text: (n, layers + 1, width).
        y: (n,) int64.
        seed: Seed of the permutations.
        permutations: Number of permutations within y, at least 200.
    """
    shuffles = Shuffles.draw(y, permutations=permutations, rng=np.random.default_rng(seed))
    layers = h_image.shape[1] - 1
    if shuffles is None or layers < 1:
        return TEST.could_not_run(
            f"no choice is right in {SMALLEST_CLASS} of the {len(y)} documents, or the model "
            "shows no layer"
        )
    by_layer: list[Shared] = []
    found: list[Measurement] = []
    n, coverage = len(shuffles.held), len(shuffles.held) / len(y)
    for layer in range(layers + 1):
        image = h_image[:, layer].astype(np.float64)
        text = h_text[:, layer].astype(np.float64)
        shared = conditional_information(image, text, shuffles)
        by_layer.append(shared)
        near = conditional_ksg(image, text, shuffles)
        found += _layer(layer, shared, near, n, coverage)
    best = 1 + int(np.argmax([shared.bits * _unit(shared) for shared in by_layer[1:]]))
    p = family_p(by_layer[1:])
    found.append(P_OVER_LAYERS.measured(Stat(value=p, n=n, coverage=coverage)))
    reason = (
        f"Image and text states share {told(_bits(by_layer[best], n, coverage))} bits given the "
        f"answer at layer {best}, where they stand out most; over all {layers} layers "
        f"p = {brief(p)} on {n} documents."
    )
    holds = True if p < LEVEL else None if p < OPEN else False
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def family_p(layers: list[Shared]) -> float:
    """Return the p-value of the layer that stands out most, for having looked at all of them."""
    seen = max(shared.bits * _unit(shared) for shared in layers)
    null = np.max([shared.null * _unit(shared) for shared in layers], axis=0)
    return float((1 + (null >= seen - 1e-9).sum()) / (1 + len(null)))


def _unit(shared: Shared) -> float:
    """Return one over the null's standard deviation in bits; 0 where nothing varies."""
    deviation = float(shared.null.std())
    return 1 / deviation if deviation > 1e-12 else 0.0


def _bits(shared: Shared, n: int, coverage: float) -> Stat:
    return Stat(value=shared.bits, low=shared.low, high=shared.high, n=n, coverage=coverage)


def _layer(layer: int, shared: Shared, near: float, n: int, coverage: float) -> list[Measurement]:
    """Return what is known of one layer: estimate, the null's ends, p-value, and KSG."""
    low, high = np.quantile(shared.null, (0.025, 0.975))
    null = Stat(value=0.0, low=float(low), high=float(high), n=n, coverage=coverage)
    return [
        INFORMATION.measured(_bits(shared, n, coverage), layer=layer),
        NULL.measured(null, layer=layer),
        P.measured(Stat(value=shared.p, n=n, coverage=coverage), layer=layer),
        NEAREST_NEIGHBOURS.measured(Stat(value=near, n=n, coverage=coverage), layer=layer),
    ]


def _run(evidence: Evidence, seed: int) -> Outcome:
    internals = evidence.internals.get(OWN)
    if internals is None:
        return TEST.could_not_run("the run has no internals under the condition own")
    shared = compare(evidence.need(INTERNALS))
    scores = shared.cells[0]
    rows = rows_of(internals.doc_ids, scores)
    if np.isnan(internals.h_image[rows]).any():
        return TEST.could_not_run("some prompts have no image")
    said = outcome(internals.h_image[rows], internals.h_text[rows], scores.gold, seed=seed)
    late = readout_accuracies(
        {"last": internals.h_last[rows], "image": internals.h_image[rows]},
        scores.gold,
        scores.n_choices,
        shared.clusters,
        coverage=shared.coverage,
        seed=seed,
    )
    head = HEAD.measured(shared.share(credit(scores)))
    return replace(said, measurements=(*said.measurements, *late, head))


TEST = Test(name="consistency", title="cross-modal consistency", head="consist-\nency", run=_run)
