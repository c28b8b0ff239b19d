"""Test 3, cross-modal consistency: do image and text states share information, given the answer?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import told
from vlmbench.diagnostics._finding import Finding, Outcome, could_not_run
from vlmbench.diagnostics._mutual_information import (
    SMALLEST_CLASS,
    Shared,
    Shuffles,
    conditional_information,
    conditional_ksg,
)
from vlmbench.types import Stat

PERMUTATIONS = 500

LEVEL = 0.01
"""The test holds below this p-value."""

OPEN = 0.05
"""Between `LEVEL` and this the test is open; from here on it fails."""


def consistency(
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
    the estimator and for what it cannot see; the KSG estimate beside it is not corrected by
    permutations and carries no interval. Documents of classes with fewer than `SMALLEST_CLASS`
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
        return could_not_run(
            "consistency",
            f"no right answer has {SMALLEST_CLASS} of the {len(y)} documents, or there is no layer",
        )
    found: list[Shared] = []
    findings: list[Finding] = []
    n, coverage = len(shuffles.held), len(shuffles.held) / len(y)
    for layer in range(layers + 1):
        image = h_image[:, layer].astype(np.float64)
        text = h_text[:, layer].astype(np.float64)
        shared = conditional_information(image, text, shuffles)
        found.append(shared)
        near = conditional_ksg(image, text, shuffles)
        findings += _layer(layer, shared, near, n, coverage)
    best = 1 + int(np.argmax([shared.bits * _unit(shared) for shared in found[1:]]))
    p = family_p(found[1:])
    findings.append(_finding("p over layers", Stat(value=p, n=n, coverage=coverage), "p"))
    holds = True if p < LEVEL else None if p < OPEN else False
    stat = next(x.stat for x in findings if x.figure == "information" and x.at["layer"] == best)
    reason = (
        f"Image and text states share {told(stat)} bits given the answer at layer {best}, where "
        f"they stand out most; over all {layers} layers p = {p:.2g} on {n} documents."
    )
    return Outcome(test="consistency", holds=holds, reason=reason, findings=tuple(findings))


def family_p(layers: list[Shared]) -> float:
    """Return the p-value of the layer that stands out most, for having looked at all of them."""
    seen = max(shared.bits * _unit(shared) for shared in layers)
    null = np.max([shared.null * _unit(shared) for shared in layers], axis=0)
    return float((1 + (null >= seen - 1e-9).sum()) / (1 + len(null)))


def _unit(shared: Shared) -> float:
    """Return one over the null's standard deviation in bits; 0 where nothing varies."""
    deviation = float(shared.null.std())
    return 1 / deviation if deviation > 1e-12 else 0.0


def _layer(layer: int, shared: Shared, near: float, n: int, coverage: float) -> list[Finding]:
    """Return the figures of one layer: estimate, the null's upper end, p-value, and KSG."""
    stat = Stat(value=shared.bits, low=shared.low, high=shared.high, n=n, coverage=coverage)
    low, high = np.quantile(shared.null, (0.025, 0.975))
    null = Stat(value=0.0, low=float(low), high=float(high), n=n, coverage=coverage)
    return [
        _finding("information", stat, "bits", layer=layer),
        _finding("permutation null", null, "bits", layer=layer),
        _finding("p", Stat(value=shared.p, n=n, coverage=coverage), "p", layer=layer),
        _finding(
            "information by nearest neighbours",
            Stat(value=near, low=math.nan, high=math.nan, n=n, coverage=coverage),
            "bits",
            layer=layer,
        ),
    ]


def _finding(figure: str, stat: Stat, unit: str, **at: int) -> Finding:
    return Finding(test="consistency", figure=figure, at=at, stat=stat, unit=unit)
