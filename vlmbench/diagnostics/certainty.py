"""Uncertainty reduction: does the image make the model more certain, and rightly so?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vlmbench.diagnostics._cells import WITHOUT, floor_of, other_images
from vlmbench.diagnostics._comparison import (
    LEAST_FLOOR,
    Comparison,
    compare,
    distributions,
    every,
    exceeds,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.metrics import (
    PROMPTED,
    TIE_TOLERANCE,
    above,
    brief,
    credit,
    expected_calibration_error,
    told,
)
from vlmbench.types import ChoiceScores, Stat

AT_LEAST_AS_CERTAIN = Quantity("share at least as certain", "share")
MORE_CERTAIN = Quantity("share more certain, of those that changed", "share")
CONFIDENCE_CHANGE = Quantity("change of confidence", "probability")
ACCURACY_WITH = Quantity("accuracy with image", "accuracy")
ACCURACY_WITHOUT = Quantity("accuracy without image", "accuracy")
ACCURACY_CHANGE = Quantity("change of accuracy", "accuracy")
CALIBRATION_WITH = Quantity("calibration error with image", "ECE")
CALIBRATION_WITHOUT = Quantity("calibration error without image", "ECE")


def outcome(
    own: ChoiceScores,
    without: Mapping[str, ChoiceScores],
    *,
    floor: float | None,
    seed: int,
) -> Outcome:
    """Return how the image changes confidence C = max p, with accuracy and calibration.

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
        floor: Numeric floor of the dependency test, which bounds what arithmetic does to a
            probability; None if not measured (then `LEAST_FLOOR`).
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    pairs = {name: compare(own, without[name]) for name in WITHOUT if name in without}
    if not pairs:
        return TEST.could_not_run("no cell leaves the image out or blanks it")
    level = LEAST_FLOOR if floor is None else floor
    found: list[Measurement] = []
    deciding: list[tuple[Stat | None, Stat]] = []
    for name, pair in pairs.items():
        measured, more_certain, accuracy_change = _against(name, pair, level, seed)
        found += measured
        deciding.append((more_certain, accuracy_change))
    more_certain, accuracy_change = deciding[0]
    against = WITHOUT[next(iter(pairs))]
    if more_certain is None:
        holds: bool | None = False
        reason = (
            f"Compared with {against}, the image does not change any document's confidence by "
            f"more than {brief(level)}, on {accuracy_change.n} documents."
        )
    else:
        holds = every(exceeds(more_certain, 0.5), not above(0.0, accuracy_change.high))
        reason = (
            f"Compared with {against}, the image makes the model more certain on a share of "
            f"{told(more_certain)} of the {more_certain.n} documents whose confidence "
            f"changes, and changes accuracy by {told(accuracy_change)}."
        )
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def _against(
    name: str, pair: Comparison, level: float, seed: int
) -> tuple[list[Measurement], Stat | None, Stat]:
    """Return all measurements of one pair, and the two that decide."""
    own, text = pair.cells
    change = distributions(own).max(axis=1) - distributions(text).max(axis=1)
    accuracy_change = pair.difference(credit(own) - credit(text))
    changed = np.abs(change) > level
    stats = {
        AT_LEAST_AS_CERTAIN: pair.share((change >= -TIE_TOLERANCE) * 1.0),
        MORE_CERTAIN: pair.only(changed).share((change[changed] > 0) * 1.0)
        if changed.any()
        else None,
        CONFIDENCE_CHANGE: pair.mean(change, seed=seed),
        ACCURACY_WITH: pair.share(credit(own)),
        ACCURACY_WITHOUT: pair.share(credit(text)),
        ACCURACY_CHANGE: accuracy_change,
        CALIBRATION_WITH: _calibration(pair, own, seed),
        CALIBRATION_WITHOUT: _calibration(pair, text, seed),
    }
    found = [
        quantity.measured(stat, against=name)
        for quantity, stat in stats.items()
        if stat is not None
    ]
    return found, stats[MORE_CERTAIN], accuracy_change


def _calibration(pair: Comparison, scores: ChoiceScores, seed: int) -> Stat:
    """Return the expected calibration error over the compared documents."""
    return replace(expected_calibration_error(scores, seed=seed), coverage=pair.coverage)


def _run(evidence: Evidence, seed: int) -> Outcome:
    own = evidence.need(PROMPTED)
    return outcome(own, other_images(evidence), floor=floor_of(evidence), seed=seed)


TEST = Test(name="certainty", title="uncertainty reduction", head="certainty", run=_run)
