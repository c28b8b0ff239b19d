"""Perturbation sensitivity: how much do graded changes of the image move the output?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._cells import UNMEASURED, floor_of
from vlmbench.diagnostics._comparison import (
    Comparison,
    compare,
    distances,
    every,
    exceeds,
    log_probabilities,
    ratio_of,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.metrics import PROMPTED, told
from vlmbench.spec import Condition, Perturbation
from vlmbench.types import ChoiceScores, ComparisonError

TOTAL_VARIATION = Quantity("total variation", "TV")
LOGIT_DISTANCE = Quantity("logit distance", "nats")
AREA = Quantity("area", "TV")
MEAN_AREA = Quantity("mean area", "TV")
MASK_EFFECT = Quantity("effect of a mask", "TV")
MASK_EFFECT_LOGITS = Quantity("effect of a mask", "nats")
GROUNDING = Quantity("grounding ratio", "ratio")


def outcome(
    own: ChoiceScores,
    perturbed: Mapping[tuple[str, float], ChoiceScores],
    evidence: ChoiceScores | None,
    random: ChoiceScores | None,
    *,
    floor: float | None,
    seed: int,
) -> Outcome:
    """Return how far graded perturbations of the image move the output, and where they matter.

    Per kind and strength: the mean L2 distance between choice logits (log-likelihoods centred
    over a document's choices, in nats, so that a common shift counts for nothing) and the mean
    total variation distance. Per kind the area under the second curve by the trapezoid rule from
    strength 0, where both are exactly 0, to the largest strength run; per document, then
    averaged. The grounding ratio divides the mean effect of masking the regions that a document
    names by that of masking equal area elsewhere; its interval resamples documents.

    The test holds if the mean area over kinds lies above the numeric floor (times the range of
    strengths) and the grounding ratio, where there is one, lies above 1. It fails if either
    interval lies at or below its level, and is open if the floor was not measured. A ratio whose
    denominator is not known to exceed the floor is not given.

    Args:
        own: Scores with unperturbed images.
        perturbed: Scores by kind of perturbation and strength in (0, 1].
        evidence: Scores with the named regions masked, if run.
        random: Scores with equal area elsewhere masked, if run.
        floor: Numeric floor of the dependency test; None if not measured.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    graded = {key: perturbed[key] for key in sorted(perturbed) if key[1] > 0}
    if not graded:
        return TEST.could_not_run("no cell perturbs the image")
    shared = compare(own, *graded.values())
    found, areas, spans = _curves(shared, list(graded), seed)
    mean = shared.mean(areas.mean(axis=0), seed=seed)
    found.append(MEAN_AREA.measured(mean))
    ratios = _grounding(own, evidence, random, floor, seed)
    found += ratios
    ratio = next((r.stat for r in ratios if r.quantity == GROUNDING and r.at["of"] == "TV"), None)
    holds = None if floor is None else exceeds(mean, floor * float(np.mean(spans)))
    if ratio is not None:
        holds = every(holds, exceeds(ratio, 1.0))
    if floor is None:
        end = UNMEASURED
    elif ratio is None:
        end = "the grounding ratio is not defined"
    else:
        end = (
            f"masking the evidence moves the output {told(ratio)} times as far as masking an equal "
            "area elsewhere"
        )
    reason = (
        f"Over {len(areas)} kinds of perturbation the area under the curve of total variation is "
        f"{told(mean)} on {mean.n} documents; {end}."
    )
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def logit_distances(a: ChoiceScores, b: ChoiceScores) -> NDArray[np.float64]:
    """Return the L2 distance between two cells' centred choice logits, per document, in nats."""
    difference = np.where(a.unused(), 0.0, _finite(a) - _finite(b))
    difference -= difference.sum(axis=1, keepdims=True) / a.n_choices[:, None]
    result: NDArray[np.float64] = np.linalg.norm(np.where(a.unused(), 0.0, difference), axis=1)
    return result


def _finite(scores: ChoiceScores) -> NDArray[np.float64]:
    return np.where(scores.unused(), 0.0, log_probabilities(scores))


def _curves(
    shared: Comparison, keys: list[tuple[str, float]], seed: int
) -> tuple[list[Measurement], NDArray[np.float64], list[float]]:
    """Return what is measured by kind and strength, each document's areas, and largest strengths.

    `keys` are the kinds and strengths of the cells after the first; areas are (kinds, n).
    """
    plain, *cells = shared.cells
    found: list[Measurement] = []
    areas, spans = [], []
    for by in sorted({kind for kind, _ in keys}):
        curve = {0.0: plain} | {
            s: cell for (k, s), cell in zip(keys, cells, strict=True) if k == by
        }
        moved = []
        for strength, cell in curve.items():
            moved.append(distances(plain, cell))
            logits = shared.mean(logit_distances(plain, cell), seed=seed)
            tv = shared.mean(moved[-1], seed=seed)
            found += [
                LOGIT_DISTANCE.measured(logits, by=by, strength=strength),
                TOTAL_VARIATION.measured(tv, by=by, strength=strength),
            ]
        areas.append(np.atleast_1d(np.trapezoid(np.stack(moved, axis=1), list(curve), axis=1)))
        spans.append(max(curve))
        found.append(AREA.measured(shared.mean(areas[-1], seed=seed), by=by))
    return found, np.stack(areas), spans


def _grounding(
    own: ChoiceScores,
    evidence: ChoiceScores | None,
    random: ChoiceScores | None,
    floor: float | None,
    seed: int,
) -> list[Measurement]:
    """Return the effects of both masks and their ratios, as far as these are defined."""
    if evidence is None or random is None:
        return []
    if evidence.doc_ids != random.doc_ids:
        raise ComparisonError("the two masks were not applied to the same documents")
    shared = compare(own, evidence, random)
    plain, masked, control = shared.cells
    found = []
    for of, measure, effect in (
        ("TV", distances, MASK_EFFECT),
        ("logits", logit_distances, MASK_EFFECT_LOGITS),
    ):
        named, elsewhere = measure(plain, masked), measure(plain, control)
        for where, values in (("regions", named), ("random", elsewhere)):
            found.append(effect.measured(shared.mean(values, seed=seed), where=where, of=of))
        if floor is not None and elsewhere.mean() > floor:
            ratio = ratio_of(named, elsewhere, shared.clusters, coverage=shared.coverage, seed=seed)
            found.append(GROUNDING.measured(ratio, of=of))
    return found


def _run(evidence: Evidence, seed: int) -> Outcome:
    perturbed: dict[tuple[str, float], ChoiceScores] = {
        (condition.image.kind, condition.image.strength): scores
        for condition, scores in evidence.prompted()
        if isinstance(condition.image, Perturbation)
        if condition == Condition(image=condition.image)
    }
    return outcome(
        evidence.need(PROMPTED),
        perturbed,
        evidence.get(PROMPTED, "evidence"),
        evidence.get(PROMPTED, "evidence-random"),
        floor=floor_of(evidence),
        seed=seed,
    )


TEST = Test(name="sensitivity", title="perturbation sensitivity", head="sensi-\ntivity", run=_run)
