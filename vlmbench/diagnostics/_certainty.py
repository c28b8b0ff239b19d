"""Test 6, uncertainty reduction: does the image make the model surer, and rightly so?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vlmbench.diagnostics._comparison import (
    LEAST_FLOOR,
    Comparison,
    compare,
    distributions,
    every,
    exceeds,
    told,
)
from vlmbench.diagnostics._contribution import WITHOUT
from vlmbench.diagnostics._finding import Finding, Outcome, could_not_run
from vlmbench.metrics import TIE_TOLERANCE, credit, expected_calibration_error
from vlmbench.types import ChoiceScores, Stat


def certainty(
    own: ChoiceScores,
    without: Mapping[str, ChoiceScores],
    *,
    floor: float | None,
    seed: int,
) -> Outcome:
    """Return how the image changes confidence C = max p, with accuracy and calibration beside it.

    The share of documents with C_img+text >= C_text counts differences within `TIE_TOLERANCE` as
    equal, so a model that ignores images reads 1. What decides is therefore the share among
    documents whose confidence changed by more than the numeric floor; where every document
    changed the two are the same. The test holds if the interval of that share lies above 1/2 and
    accuracy does not fall (the interval of its change is not wholly below 0). It fails if the
    share's interval lies at or below 1/2, if no document's confidence changed, or if accuracy
    falls.

    Args:
        own: Scores with each document's own images.
        without: Scores of the same documents under "none" (text alone) and "blank".
        floor: Numeric floor of test 1, which bounds what arithmetic does to a probability; None
            if not measured (then `LEAST_FLOOR`).
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    decider = next((name for name in WITHOUT if name in without), None)
    if decider is None:
        return could_not_run("certainty", "no cell leaves the image out or blanks it")
    level = LEAST_FLOOR if floor is None else floor
    findings: list[Finding] = []
    deciding: dict[str, tuple[Stat | None, Stat]] = {}
    for name in (name for name in WITHOUT if name in without):
        pair = compare(own, without[name])
        found, changed, accuracy_change = _against(name, pair, level, seed)
        findings += found
        deciding[name] = changed, accuracy_change
    changed, accuracy_change = deciding[decider]
    against = "text alone" if decider == "none" else "a blank image"
    if changed is None:
        holds: bool | None = False
        reason = (
            f"Against {against} the image changes no document's confidence by more than "
            f"{level:.2g}, on {accuracy_change.n} documents."
        )
    else:
        holds = every(exceeds(changed, 0.5), accuracy_change.high >= 0)
        reason = (
            f"Against {against} the image makes the model surer on a share of {told(changed)} of "
            f"the {changed.n} documents whose confidence changes, and changes accuracy by "
            f"{told(accuracy_change)}."
        )
    return Outcome(test="certainty", holds=holds, reason=reason, findings=tuple(findings))


def _against(
    name: str, pair: Comparison, level: float, seed: int
) -> tuple[list[Finding], Stat | None, Stat]:
    """Return all figures of one pair, and the two that decide."""
    own, text = pair.cells
    change = distributions(own).max(axis=1) - distributions(text).max(axis=1)
    accuracy_change = pair.mean(credit(own) - credit(text), seed=seed)
    moved = np.abs(change) > level
    figures = [
        ("share at least as certain", pair.share((change >= -TIE_TOLERANCE) * 1.0), "share"),
        ("change of confidence", pair.mean(change, seed=seed), "probability"),
        ("accuracy with image", pair.share(credit(own)), "accuracy"),
        ("accuracy without image", pair.share(credit(text)), "accuracy"),
        ("change of accuracy", accuracy_change, "accuracy"),
        ("calibration error with image", _calibration(pair, own, seed), "ECE"),
        ("calibration error without image", _calibration(pair, text, seed), "ECE"),
    ]
    changed = None
    if moved.any():
        rose = pair.share((change[moved] > 0) * 1.0)
        share = pair.coverage * float(moved.mean())
        changed = Stat(value=rose.value, low=rose.low, high=rose.high, n=rose.n, coverage=share)
        figures.insert(1, ("share more certain, of those that changed", changed, "share"))
    findings = [
        Finding(test="certainty", figure=figure, at={"against": name}, stat=stat, unit=unit)
        for figure, stat, unit in figures
    ]
    return findings, changed, accuracy_change


def _calibration(pair: Comparison, scores: ChoiceScores, seed: int) -> Stat:
    """Return the expected calibration error over the compared documents."""
    return replace(expected_calibration_error(scores, seed=seed), coverage=pair.coverage)
