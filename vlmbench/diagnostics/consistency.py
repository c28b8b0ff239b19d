"""Cross-modal consistency: do image and text states share more than the question brings along?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from vlmbench.diagnostics._cells import OWN
from vlmbench.diagnostics._comparison import compare, rows_of
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._mutual_information import (
    Shared,
    Shuffles,
    conditional_information,
    conditional_ksg,
    standard_error,
)
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.diagnostics.late_layers import HEAD, Of, readout_accuracies
from vlmbench.metrics import INTERNALS, Clusters, brief, credit, told
from vlmbench.spec import Condition
from vlmbench.types import Stat

INFORMATION = Quantity("information", "bits")
CONTROL = Quantity("information with a blank image's text", "bits")
BEYOND = Quantity("information beyond a blank image's text", "bits")
NULL = Quantity("permutation null", "bits")
NEAREST_NEIGHBOURS = Quantity("information by nearest neighbours", "bits")
P = Quantity("p", "p")
P_OVER_LAYERS = Quantity("p over layers", "p")

PERMUTATIONS = 500

BLANK = Condition.parse("blank")

LEVEL = 0.01
"""The test holds below this p-value."""

OPEN = 0.05
"""Between `LEVEL` and this the test is open; from here on it fails."""


def outcome(
    h_image: NDArray[np.float32],
    h_text: NDArray[np.float32],
    h_blank: NDArray[np.float32] | None,
    y: NDArray[np.int64],
    clusters: Clusters,
    *,
    given: str = "the answer",
    seed: int,
    permutations: int = PERMUTATIONS,
) -> Outcome:
    """Return I(h_image; h_text | y) per layer in bits, and what it has beyond a blank image's.

    h_image is the mean state over image positions, h_text the mean over the question's text
    positions after the image, y what the right choice says. h_blank is h_text in a pass in which a
    blank image stands in the image's place: what it shares with h_image cannot have come through
    the model, only through the question. See `conditional_information` for the estimator and for
    what it cannot see; the KSG estimate given with it is not corrected by permutations and has no
    interval. One document of each cluster is used, and none that is alone in its class of y;
    coverage says so.

    The test holds if, at p < .01 each with the number of layers accounted for, some layer's
    information exceeds its permutation null (the same permutations serve all layers, and the
    largest of the layers' standardised values is compared with the largest of each permutation's),
    and some layer's exceeds that of h_blank (paired jackknife of the difference, Student's t,
    Bonferroni over layers). It is open if either p lies between .01 and .05, or if there is no
    h_blank. Layer 0, the embeddings, is shown and does not count: nothing has been fused there.

    Args:
        h_image: (n, layers + 1, width) states, layer 0 being the embeddings.
        h_text: (n, layers + 1, width).
        h_blank: (n, layers + 1, width); None if that pass was not run.
        y: (n,) int64.
        clusters: Which documents belong together.
        given: What y is, in words.
        seed: Seed of the draw of documents and of the permutations.
        permutations: Number of permutations within y, at least 200.
    """
    rng = np.random.default_rng(seed)
    shuffles = Shuffles.draw(y, clusters, permutations=permutations, rng=rng)
    layers = h_image.shape[1] - 1
    if shuffles is None or layers < 1:
        return TEST.could_not_run(
            f"too few of the {len(clusters)} documents or clusters of them have {given} in common, "
            "or the model shows no layer"
        )
    own = _by_layer(h_image, h_text, shuffles)
    control = [] if h_blank is None else _by_layer(h_image, h_blank, shuffles)
    n, coverage = len(shuffles.held), len(shuffles.held) / len(y)
    found: list[Measurement] = []
    for layer, shared in enumerate(own):
        image, text = (h[:, layer].astype(np.float64) for h in (h_image, h_text))
        near = conditional_ksg(image, text, shuffles)
        found += _layer(layer, shared, near, n, coverage)
    for layer, (shared, blank) in enumerate(zip(own, control, strict=False)):
        found.append(CONTROL.measured(_bits(blank, n, coverage), layer=layer))
        found.append(BEYOND.measured(_beyond(shared, blank, n, coverage), layer=layer))
    holds, p, reason = _decision(own[1:], control[1:], given, n, coverage)
    if p is not None:
        found.append(P_OVER_LAYERS.measured(Stat(value=p, n=n, coverage=coverage)))
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def _by_layer(
    h_image: NDArray[np.float32], h_text: NDArray[np.float32], shuffles: Shuffles
) -> list[Shared]:
    return [
        conditional_information(
            h_image[:, layer].astype(np.float64), h_text[:, layer].astype(np.float64), shuffles
        )
        for layer in range(h_image.shape[1])
    ]


def _decision(
    own: Sequence[Shared], control: Sequence[Shared], given: str, n: int, coverage: float
) -> tuple[bool | None, float | None, str]:
    """Return whether the test holds, its p-value (None without a control), and why."""
    best = int(np.argmax([shared.bits * _unit(shared) for shared in own]))
    p = family_p(own)
    said = (
        f"Image and text states share {told(_bits(own[best], n, coverage))} bits given {given} at "
        f"layer {best + 1}, where they stand out most; over all {len(own)} layers p = {brief(p)} "
        f"on {n} documents"
    )
    if not control:
        return (
            None,
            None,
            (
                f"{said}. What text states share with the image without having seen it, under the "
                "condition blank, was not measured."
            ),
        )
    best = int(np.argmax([_t(*pair) for pair in zip(own, control, strict=True)]))
    beyond = beyond_p(own, control)
    more = told(_beyond(own[best], control[best], n, coverage))
    said += (
        f". At layer {best + 1}, where they differ most, that is {more} bits more than with the "
        f"text states of a blank image; over all layers p = {brief(beyond)}."
    )
    p = max(p, beyond)
    return True if p < LEVEL else None if p < OPEN else False, p, said


def family_p(layers: Sequence[Shared]) -> float:
    """Return the p-value of the layer that stands out most, for having looked at all of them."""
    seen = max(shared.bits * _unit(shared) for shared in layers)
    null = np.max([shared.null * _unit(shared) for shared in layers], axis=0)
    return float((1 + (null >= seen - 1e-9).sum()) / (1 + len(null)))


def _unit(shared: Shared) -> float:
    """Return one over the null's standard deviation in bits; 0 where nothing varies."""
    deviation = float(shared.null.std())
    return 1 / deviation if deviation > 1e-12 else 0.0


def beyond_p(own: Sequence[Shared], control: Sequence[Shared]) -> float:
    """Return the p-value of the layer that exceeds its control most, for having looked at all."""
    most = max(_t(*pair) for pair in zip(own, control, strict=True))
    return min(1.0, len(own) * float(stdtr(len(own[0].left_out) - 1, -most)))


def _t(shared: Shared, control: Shared) -> float:
    """Return a paired difference over its standard error; 0 where the two do not differ."""
    difference = shared.bits - control.bits
    error = standard_error(shared.left_out - control.left_out)
    return difference / error if error > 1e-9 else 0.0


def _beyond(shared: Shared, control: Shared, n: int, coverage: float) -> Stat:
    value, apart = shared.bits - control.bits, shared.left_out - control.left_out
    half = float(stdtrit(len(apart) - 1, 0.975)) * standard_error(apart)
    return Stat(value=value, low=value - half, high=value + half, n=n, coverage=coverage)


def _bits(shared: Shared, n: int, coverage: float) -> Stat:
    low, high = shared.interval
    return Stat(value=shared.bits, low=low, high=high, n=n, coverage=coverage)


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
    internals, without = (evidence.internals.get(condition) for condition in (OWN, BLANK))
    if internals is None:
        return TEST.could_not_run("the run has no internals under the condition own")
    cells = [evidence.need(INTERNALS)]
    cells += [] if without is None else [evidence.need(INTERNALS, BLANK.label)]
    shared = compare(*cells)
    scores = shared.cells[0]
    rows = rows_of(internals.doc_ids, scores)
    if np.isnan(internals.h_image[rows]).any():
        return TEST.could_not_run("some prompts have no image")
    y, given = _answer(evidence.answers.get(OWN, ()), rows, scores.gold)
    said = outcome(
        internals.h_image[rows],
        internals.h_text[rows],
        None if without is None else without.h_text[rows_of(without.doc_ids, scores)],
        y,
        shared.clusters,
        given=given,
        seed=seed,
    )
    states: dict[Of, NDArray[np.float32]] = {
        "last": internals.h_last[rows],
        "image": internals.h_image[rows],
    }
    if without is not None:
        states["blank"] = without.h_last[rows_of(without.doc_ids, scores)]
    late = readout_accuracies(
        states,
        scores.gold,
        scores.n_choices,
        shared.clusters,
        coverage=shared.coverage,
        seed=seed,
    )
    head = HEAD.measured(shared.share(credit(scores)))
    return replace(said, measurements=(*said.measurements, *late, head))


def _answer(
    said: Sequence[str], rows: NDArray[np.int64], gold: NDArray[np.int64]
) -> tuple[NDArray[np.int64], str]:
    """Return y and what it is: what the right choice says, if half of the documents share that."""
    if said:
        _, y = np.unique([said[row] for row in rows], return_inverse=True)
        if (np.bincount(y)[y] > 1).mean() >= 0.5:
            return y, "the answer"
    return gold, "the answer's place among the choices"


TEST = Test(name="consistency", title="cross-modal consistency", head="consist-\nency", run=_run)
