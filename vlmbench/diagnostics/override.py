"""Counterfactual override: image or text, when the two disagree?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._cells import NO_BLANK
from vlmbench.diagnostics._comparison import (
    Comparison,
    compare,
    distributions,
    every,
    exceeds,
    log_probabilities,
    restricted,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.metrics import ENCODER, PROMPTED, TIE_TOLERANCE, credit, told
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores, VlmbenchError

FOLLOWING = Quantity("share following the image", "share")
BEYOND = Quantity("share beyond a blank image's without a hint", "share")
LOG_ODDS = Quantity("log-odds", "log-odds (nats)")
ACCURACY = Quantity("accuracy", "accuracy")
AGREEING_GAIN = Quantity("gain from an agreeing hint", "probability")

Strength = Literal["weak", "medium", "strong"]

STRENGTHS: tuple[Strength, ...] = ("weak", "medium", "strong")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hinted:
    """Scores under a hint.

    Attributes:
        scores: Scores of the documents.
        target: (n,) int64, the choice c_t that each document's hint asserts.
    """

    scores: ChoiceScores
    target: NDArray[np.int64]


def outcome(
    own: ChoiceScores,
    wrong: Mapping[Strength, Hinted],
    right: ChoiceScores | None,
    encoder: ChoiceScores | None,
    blank: ChoiceScores | None,
    *,
    seed: int,
) -> Outcome:
    """Return how often the image outweighs a hint that asserts a wrong choice.

    c_t is the choice that the hint asserts. c_i, "the class implied by the image", is read as
    gold: the hint is wrong because the image says otherwise. A model that cannot see gold in the
    image is at chance between the two without any hint, so every number is also given at strength
    "none" (the same c_t, no hint) and on two subsets: documents that the encoder readout gets
    right (the image's answer can be read), and documents that the model itself answers right
    without a hint (where its own answer and the image's are the same).

    Measured per strength, and per document averaged over strengths ("all"): share of documents
    with p(c_i) > p(c_t), equal ones counting as half, and the mean log-odds log p(c_i)/p(c_t) in
    nats. The test holds if the share over all strengths exceeds 1/2 with its interval, and what a
    blank image without any hint reaches against the same c_t, with that of the paired difference:
    text alone may tell gold from c_t, and a wrong hint adds nothing to it. It fails if either
    interval lies at or below its level, and is open if no blank image was shown.

    Args:
        own: Scores without a hint.
        wrong: Scores under a hint that asserts a wrong choice, by strength.
        right: Scores under a strong hint that asserts the right one, if run.
        encoder: The encoder readout's scores on the same images, if run; any scale.
        blank: Scores without a hint and with a blank image, if run.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
        VlmbenchError: If a hint that should be wrong asserts gold.
    """
    strengths = [strength for strength in STRENGTHS if strength in wrong]
    if not strengths:
        return TEST.could_not_run("no cell gives a hint that asserts a wrong choice")
    hinted = [wrong[strength].scores for strength in strengths]
    shared = compare(own, *hinted, *([] if blank is None else [blank]))
    targets = [_targets(wrong[strength], shared) for strength in strengths]
    odds: dict[str, NDArray[np.float64]] = {
        strength: _log_odds(scores, target)
        for strength, scores, target in zip(strengths, shared.cells[1:], targets, strict=False)
    }
    ids = np.array(shared.cells[0].doc_ids)
    subsets = {"all": np.ones(len(ids), bool), "own right": credit(shared.cells[0]) == 1}
    if encoder is not None:
        subsets["encoder right"] = np.isin(ids, _right(encoder, shared.cells[0].doc_ids))
    curve = {"none": _log_odds(shared.cells[0], targets[0]), **odds}
    found: list[Measurement] = []
    for of, held in subsets.items():
        if held.any():
            found += _curve(curve, list(odds), held, of, shared, seed)
    found += _accuracies(shared, strengths)
    found += _agreeing(own, right, seed)
    ahead = np.mean([_ahead(values) for values in odds.values()], axis=0)
    decisive = shared.share(ahead)
    reason = (
        "With hints that assert a wrong choice, the image's choice stays ahead on a share of "
        f"{told(decisive)} of {decisive.n} documents, over {len(strengths)} strengths of hint"
    )
    if blank is None:
        return Outcome(
            test=TEST, holds=None, reason=f"{reason}; {NO_BLANK}.", measurements=tuple(found)
        )
    beyond = shared.difference(ahead - _ahead(_log_odds(shared.cells[-1], targets[0])))
    found.append(BEYOND.measured(beyond))
    reason += f", which is {told(beyond)} more than with a blank image and no hint."
    holds = every(exceeds(decisive, 0.5), exceeds(beyond, 0.0))
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def _targets(hinted: Hinted, shared: Comparison) -> NDArray[np.int64]:
    """Return c_t of the compared documents."""
    scores = shared.cells[0]
    place = dict(zip(hinted.scores.doc_ids, hinted.target.tolist(), strict=True))
    target = np.array([place[doc_id] for doc_id in scores.doc_ids], dtype=np.int64)
    off = (target == scores.gold) | (target < 0) | (target >= scores.n_choices)
    if off.any():
        raise VlmbenchError(
            f"{int(off.sum())} of {len(target)} hints do not assert a wrong choice of their "
            f"document, the first being that of {scores.doc_ids[int(off.argmax())]!r}"
        )
    return target


def _log_odds(scores: ChoiceScores, target: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log p(c_i) - log p(c_t) per document, in nats."""
    rows = np.arange(len(scores))
    logs = log_probabilities(scores)
    return logs[rows, scores.gold] - logs[rows, target]


def _ahead(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where the image's choice is ahead, 1/2 where the two are level, else 0."""
    return np.where(np.abs(log_odds) <= TIE_TOLERANCE, 0.5, (log_odds > 0).astype(np.float64))


def _right(encoder: ChoiceScores, doc_ids: tuple[str, ...]) -> list[str]:
    """Return the documents that the encoder readout answers right, without a tie."""
    read = restricted(encoder, doc_ids)
    if read.failed.all():
        return []
    read = read.take(~read.failed)
    return [
        doc_id for doc_id, earned in zip(read.doc_ids, credit(read), strict=True) if earned == 1
    ]


def _curve(
    curve: Mapping[str, NDArray[np.float64]],
    hinted: list[str],
    held: NDArray[np.bool_],
    of: str,
    shared: Comparison,
    seed: int,
) -> list[Measurement]:
    """Return shares and log-odds by strength on one subset of the documents.

    On a subset, coverage is the share of the compared documents that are in it.
    """
    subset = shared if of == "all" else shared.only(held)
    points: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {
        strength: (_ahead(values[held]), values[held]) for strength, values in curve.items()
    }
    each = [points[strength] for strength in hinted]
    points["all"] = (
        np.mean([ahead for ahead, _ in each], axis=0),
        np.mean([values for _, values in each], axis=0),
    )
    found = []
    for strength, (ahead, values) in points.items():
        found += [
            FOLLOWING.measured(subset.share(ahead), strength=strength, of=of),
            LOG_ODDS.measured(subset.mean(values, seed=seed), strength=strength, of=of),
        ]
    return found


def _accuracies(shared: Comparison, strengths: list[Strength]) -> list[Measurement]:
    """Return accuracy without and with wrong hints, on the same documents."""
    hints = {"none": "none"} | dict.fromkeys(strengths, "wrong")
    return [
        ACCURACY.measured(shared.share(credit(scores)), hint=hint, strength=strength)
        for (strength, hint), scores in zip(hints.items(), shared.cells, strict=False)
    ]


def _agreeing(own: ChoiceScores, right: ChoiceScores | None, seed: int) -> list[Measurement]:
    """Return what a hint that agrees with the image adds."""
    if right is None:
        return []
    pair = compare(own, right)
    plain, hinted = (distributions(cell)[np.arange(len(cell)), cell.gold] for cell in pair.cells)
    return [
        ACCURACY.measured(pair.share(credit(pair.cells[1])), hint="right", strength="strong"),
        AGREEING_GAIN.measured(pair.mean(hinted - plain, seed=seed)),
    ]


def _run(evidence: Evidence, seed: int) -> Outcome:
    wrong = {}
    for strength in STRENGTHS:
        condition = Condition.parse(f"own+hint-wrong-{strength}")
        scores = evidence.scores.get((PROMPTED, condition))
        if scores is not None:
            wrong[strength] = Hinted(scores=scores, target=evidence.targets[condition])
    right = evidence.get(PROMPTED, "own+hint-right-strong")
    return outcome(
        evidence.need(PROMPTED),
        wrong,
        right,
        evidence.get(ENCODER),
        evidence.get(PROMPTED, "blank"),
        seed=seed,
    )


TEST = Test(name="override", title="counterfactual override", head="override", run=_run)
