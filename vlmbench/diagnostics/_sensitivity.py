"""Test 4, perturbation sensitivity: how much do graded changes of the image move the output?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import (
    LEAST_FLOOR,
    Comparison,
    compare,
    distances,
    every,
    exceeds,
    log_probabilities,
    ratio_stat,
    told,
)
from vlmbench.diagnostics._finding import Finding, Outcome, could_not_run
from vlmbench.types import ChoiceScores, ComparisonError, Stat


def sensitivity(
    own: ChoiceScores,
    perturbed: Mapping[tuple[str, float], ChoiceScores],
    evidence: ChoiceScores | None,
    random: ChoiceScores | None,
    *,
    floor: float | None,
    seed: int,
) -> Outcome:
    """Return how far graded perturbations of the image move the output, and where they must be.

    Per kind and strength: the mean L2 distance between choice logits (log-likelihoods centred
    over a document's choices, in nats, so that a common shift counts for nothing) and the mean
    total variation distance. Per kind the area under the second curve by the trapezoid rule from
    strength 0, where both are exactly 0, to the largest strength run; per document, then
    averaged. The grounding ratio divides the mean effect of masking the regions that a document
    names by that of masking equal area elsewhere; its interval resamples documents.

    The test holds if the mean area over kinds lies above the numeric floor (times the range of
    strengths) and the grounding ratio, where there is one, lies above 1. It fails if either
    interval lies at or below its level. A ratio whose denominator does not exceed the floor is
    not given.

    Args:
        own: Scores with unperturbed images.
        perturbed: Scores by kind of perturbation and strength in (0, 1].
        evidence: Scores with the named regions masked, if run.
        random: Scores with equal area elsewhere masked, if run.
        floor: Numeric floor of test 1; None if not measured (then `LEAST_FLOOR`).
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    level = LEAST_FLOOR if floor is None else floor
    graded = {key: perturbed[key] for key in sorted(perturbed) if key[1] > 0}
    if not graded:
        return could_not_run("sensitivity", "no cell perturbs the image")
    shared = compare(own, *graded.values())
    cells = dict(zip(graded, shared.cells[1:], strict=True))
    findings: list[Finding] = []
    areas, spans = [], []
    for by in sorted({by for by, _ in graded}):
        strengths = [strength for kind, strength in graded if kind == by]
        curve = [shared.cells[0], *(cells[by, strength] for strength in strengths)]
        findings += _curve(shared, by, [0.0, *strengths], curve, seed)
        moved = np.stack([distances(shared.cells[0], cell) for cell in curve], axis=1)
        areas.append(np.atleast_1d(np.trapezoid(moved, [0.0, *strengths], axis=1)))
        spans.append(strengths[-1])
        findings.append(_finding("area", shared.mean(areas[-1], seed=seed), "TV", by=by))
    mean = shared.mean(np.mean(areas, axis=0), seed=seed)
    findings.append(_finding("mean area", mean, "TV"))
    ratios = _grounding(own, evidence, random, level, seed)
    findings += ratios
    ratio = next((found.stat for found in ratios if found.at == {"of": "TV"}), None)
    holds = exceeds(mean, level * float(np.mean(spans)))
    if ratio is not None:
        holds = every(holds, exceeds(ratio, 1.0))
    reason = (
        f"Over {len(areas)} kinds of perturbation the area under the curve of total variation is "
        f"{told(mean)} on {mean.n} documents; "
        + (
            "the grounding ratio could not be given."
            if ratio is None
            else f"masking the evidence moves the output {told(ratio)} times as far as masking "
            "equal area elsewhere."
        )
    )
    return Outcome(test="sensitivity", holds=holds, reason=reason, findings=tuple(findings))


def logit_distances(a: ChoiceScores, b: ChoiceScores) -> NDArray[np.float64]:
    """Return the L2 distance between two cells' centred choice logits, per document, in nats."""
    difference = np.where(a.unused(), 0.0, _finite(a) - _finite(b))
    difference -= difference.sum(axis=1, keepdims=True) / a.n_choices[:, None]
    result: NDArray[np.float64] = np.linalg.norm(np.where(a.unused(), 0.0, difference), axis=1)
    return result


def _finite(scores: ChoiceScores) -> NDArray[np.float64]:
    return np.where(scores.unused(), 0.0, log_probabilities(scores))


def _curve(
    shared: Comparison, by: str, strengths: list[float], curve: list[ChoiceScores], seed: int
) -> list[Finding]:
    """Return both distances at each strength of one kind."""
    findings = []
    for strength, cell in zip(strengths, curve, strict=True):
        logits = shared.mean(logit_distances(shared.cells[0], cell), seed=seed)
        moved = shared.mean(distances(shared.cells[0], cell), seed=seed)
        findings += [
            _finding("logit distance", logits, "nats", by=by, strength=strength),
            _finding("total variation", moved, "TV", by=by, strength=strength),
        ]
    return findings


def _grounding(
    own: ChoiceScores,
    evidence: ChoiceScores | None,
    random: ChoiceScores | None,
    floor: float,
    seed: int,
) -> list[Finding]:
    """Return the effects of both masks and their ratios, as far as these are defined."""
    if evidence is None or random is None:
        return []
    if evidence.doc_ids != random.doc_ids:
        raise ComparisonError("the two masks were not given to the same documents")
    shared = compare(own, evidence, random)
    plain, masked, control = shared.cells
    findings = []
    for of, measure, unit in (("TV", distances, "TV"), ("logits", logit_distances, "nats")):
        named, elsewhere = measure(plain, masked), measure(plain, control)
        for where, values in (("regions", named), ("random", elsewhere)):
            stat = shared.mean(values, seed=seed)
            findings.append(_finding("effect of a mask", stat, unit, where=where, of=of))
        if elsewhere.mean() > floor:
            stat = ratio_stat(named, elsewhere, coverage=shared.coverage, seed=seed)
            findings.append(_finding("grounding ratio", stat, "ratio", of=of))
    return findings


def _finding(figure: str, stat: Stat, unit: str, **at: str | float) -> Finding:
    return Finding(test="sensitivity", figure=figure, at=at, stat=stat, unit=unit)
