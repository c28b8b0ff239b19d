"""All seven tests on the evidence of one model and task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from vlmbench.diagnostics._budget import Context, Place, budget
from vlmbench.diagnostics._certainty import certainty
from vlmbench.diagnostics._comparison import compare, numeric_floor, restricted, rows_of
from vlmbench.diagnostics._consistency import consistency
from vlmbench.diagnostics._contribution import Tokens, contribution
from vlmbench.diagnostics._dependency import dependency
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._finding import TEST_NAMES, Finding, Outcome, TestName, could_not_run
from vlmbench.diagnostics._late_layers import late_layers
from vlmbench.diagnostics._override import STRENGTHS, Hinted, override
from vlmbench.diagnostics._sensitivity import sensitivity
from vlmbench.metrics import credit
from vlmbench.spec import Condition, Filler, Perturbation
from vlmbench.types import ChoiceScores, VlmbenchError

OtherImage = Literal["swapped", "blank"]

OWN = Condition()


def diagnose(evidence: Evidence, *, seed: int = 0) -> tuple[Outcome, ...]:
    """Return the outcomes of all seven tests, in their fixed order.

    A pure function of what was stored: no model, and the same outcomes every time. A test whose
    cells are missing, hold no log-likelihoods, or do not cover the same documents gives an
    outcome that says so, and the others go on.

    Args:
        evidence: The stored cells.
        seed: Seed of bootstraps, permutations and folds.
    """
    tests: dict[TestName, Callable[[Evidence, int], Outcome]] = {
        "dependency": _dependency,
        "override": _override,
        "consistency": _consistency,
        "sensitivity": _sensitivity,
        "contribution": _contribution,
        "certainty": _certainty,
        "budget": _budget,
    }
    outcomes = []
    for name in TEST_NAMES:
        try:
            outcomes.append(tests[name](evidence, seed))
        except VlmbenchError as error:
            outcomes.append(could_not_run(name, error.problems[0].message.rstrip(".")))
    return tuple(outcomes)


def _other_images(evidence: Evidence) -> dict[str, ChoiceScores]:
    """Return the prompted cells that replace or remove the image, by what they put there.

    The usual form of a kind goes by the kind alone, a further one by its label.
    """
    found: dict[str, ChoiceScores] = {}
    cells = [
        (condition, scores)
        for condition, scores in evidence.prompted()
        if condition == Condition(image=condition.image) and condition.image.replaces
    ]
    usual = {Condition.parse(label) for label in ("swapped", "scrambled", "blank", "none")}
    for condition, scores in sorted(cells, key=lambda cell: cell[0] not in usual):
        kind = condition.image.kind
        found[condition.label if kind in found else kind] = scores
    return found


def _floor(evidence: Evidence) -> float | None:
    own = evidence.need("prompted")
    return numeric_floor(own, evidence.get("prompted", "own+single"))


def _dependency(evidence: Evidence, seed: int) -> Outcome:
    repeat = evidence.get("prompted", "own+single")
    return dependency(evidence.need("prompted"), _other_images(evidence), repeat, seed=seed)


def _override(evidence: Evidence, seed: int) -> Outcome:
    wrong = {}
    for strength in STRENGTHS:
        condition = Condition.parse(f"own+hint-wrong-{strength}")
        scores = evidence.scores.get(("prompted", condition))
        if scores is not None:
            wrong[strength] = Hinted(scores=scores, target=evidence.targets[condition])
    right = evidence.get("prompted", "own+hint-right-strong")
    own, encoder = evidence.need("prompted"), evidence.get("encoder")
    return override(own, wrong, right, encoder, seed=seed)


def _consistency(evidence: Evidence, seed: int) -> Outcome:
    internals = evidence.internals.get(OWN)
    if internals is None:
        return could_not_run("consistency", "the run has no internals under own")
    shared = compare(evidence.need("internals"))
    scores = shared.cells[0]
    rows = rows_of(internals.doc_ids, scores)
    if np.isnan(internals.h_image[rows]).any():
        return could_not_run("consistency", "some prompts hold no image")
    outcome = consistency(internals.h_image[rows], internals.h_text[rows], scores.gold, seed=seed)
    late = late_layers(
        {"last": internals.h_last[rows], "image": internals.h_image[rows]},
        scores.gold,
        scores.n_choices,
        coverage=shared.coverage,
        seed=seed,
    )
    head = Finding(
        test="consistency",
        figure="accuracy of the language-model head",
        stat=shared.share(credit(scores)),
        unit="accuracy",
    )
    return replace(outcome, findings=(*outcome.findings, *late, head))


def _sensitivity(evidence: Evidence, seed: int) -> Outcome:
    perturbed: dict[tuple[str, float], ChoiceScores] = {
        (condition.image.kind, condition.image.strength): scores
        for condition, scores in evidence.prompted()
        if isinstance(condition.image, Perturbation)
        if condition == Condition(image=condition.image)
    }
    return sensitivity(
        evidence.need("prompted"),
        perturbed,
        evidence.get("prompted", "evidence"),
        evidence.get("prompted", "evidence-random"),
        floor=_floor(evidence),
        seed=seed,
    )


def _contribution(evidence: Evidence, seed: int) -> Outcome:
    internals = evidence.internals.get(OWN)
    tokens = None
    if internals is not None:
        read = compare(evidence.need("internals")).cells[0]
        rows = rows_of(internals.doc_ids, read)
        image, _, choices, text = internals.tokens[rows].mean(axis=0)
        tokens = Tokens(image=float(image), text=float(choices + text))
    own = evidence.need("prompted")
    return contribution(own, _other_images(evidence), tokens, seed=seed)


def _certainty(evidence: Evidence, seed: int) -> Outcome:
    own = evidence.need("prompted")
    return certainty(own, _other_images(evidence), floor=_floor(evidence), seed=seed)


def _budget(evidence: Evidence, seed: int) -> Outcome:
    if OWN not in evidence.internals:
        return could_not_run("budget", "the run has no internals under own")
    lengths: dict[tuple[Place, int], Condition] = {}
    for condition in evidence.internals:
        text = condition.text
        if not isinstance(text, Filler) or condition != Condition(text=text):
            continue
        lengths[text.place, text.tokens] = condition
    run = [
        image
        for image in get_args(OtherImage)
        if _pair(evidence, OWN, image)
        and any(_pair(evidence, condition, image) for condition in lengths.values())
    ]
    image = run[0] if run else None
    filled = {at: _context(evidence, condition, image) for at, condition in lengths.items()}
    plain = _context(evidence, OWN, image)
    return budget(plain, filled, floor=_floor(evidence), seed=seed)


def _context(evidence: Evidence, condition: Condition, image: OtherImage | None) -> Context:
    """Return one length of context, with another image's scores beside its own where run."""
    pair = None if image is None else _pair(evidence, condition, image)
    scores, other = pair or (evidence.scores["internals", condition], None)
    internals = evidence.internals[condition]
    # Prompted cells hold more documents than internals, which cost more.
    scores = restricted(scores, internals.doc_ids)
    return Context(scores=scores, internals=internals, other=other)


def _pair(
    evidence: Evidence, condition: Condition, image: OtherImage
) -> tuple[ChoiceScores, ChoiceScores] | None:
    """Return scores under a condition and under the same text with another image.

    Both of one readout: the two differ by rounding, which must not pass for influence.
    """
    changed = condition.model_copy(update={"image": Condition.parse(image).image})
    for readout in ("prompted", "internals"):
        own = evidence.scores.get((readout, condition))
        other = evidence.scores.get((readout, changed))
        if own is not None and other is not None:
            return own, other
    return None
