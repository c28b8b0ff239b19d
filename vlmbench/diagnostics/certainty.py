"""Uncertainty reduction: does the image make the model more certain, and rightly so?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vlmbench.diagnostics._cells import (
    NO_BLANK,
    UNMEASURED,
    WITHOUT,
    numeric_floor,
    other_images,
    repeated,
)
from vlmbench.diagnostics._comparison import (
    Comparison,
    compare,
    distributions,
    exceeds,
    information_changes,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.diagnostics.contribution import usable_information
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
    repeat: ChoiceScores | None,
    *,
    seed: int,
) -> Outcome:
    """Return how the image changes confidence C = max p, with accuracy and calibration.

    The share of documents with C_img+text >= C_text counts differences within `TIE_TOLERANCE` as
    equal, so a model that ignores images reads 1. What decides is therefore the share among
    documents whose confidence changed by more than the numeric floor; where every document
    changed the two are the same. Noise makes a model more certain as well, so the share alone is
    not enough. Against a blank image, the test holds if the interval of that share lies above 1/2
    and that of the change of accuracy above 0 or that of usable information (test 5) above its
    numeric floor. It fails if the share's interval lies at or below 1/2, if no document's
    confidence changed, or if accuracy falls (the interval of its change is wholly below 0). It is
    open if none of this is so, if the floors were not measured, or if no blank image was shown.

    Args:
        own: Scores with each document's own images.
        without: Scores of the same documents under "blank" and "none" (text alone).
        repeat: Scores with the same input under another batch composition, if run. The total
            variation floor bounds what arithmetic does to a probability.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    pairs = {name: compare(own, without[name]) for name in WITHOUT if name in without}
    if not pairs:
        return TEST.could_not_run("no cell leaves the image out or blanks it")
    level = None if repeat is None else numeric_floor(own, repeat)
    found: list[Measurement] = []
    for name, pair in pairs.items():
        found += _against(name, pair, level, seed)
    name = next(iter(pairs))
    said = {one.quantity: one.stat for one in found if one.at["against"] == name}
    usable = usable_information(pairs[name])
    change, more_certain = said[ACCURACY_CHANGE], said.get(MORE_CERTAIN)
    holds: bool | None = None
    if level is None or repeat is None:
        what = f"changes confidence by {told(said[CONFIDENCE_CHANGE])}; {UNMEASURED}"
    elif more_certain is None:
        holds = False
        what = (
            f"does not change any of {change.n} documents' confidence by more than {brief(level)}"
        )
    else:
        floor = numeric_floor(own, repeat, information_changes)
        holds = _decision(more_certain, change, above(usable.low, floor))
        what = (
            f"makes the model more certain on a share of {told(more_certain)} of the "
            f"{more_certain.n} documents whose confidence changes, changes accuracy by "
            f"{told(change)} and adds {told(usable)} bits about the right answer"
        )
    if name != "blank":
        holds, what = None, f"{what}; {NO_BLANK}"
    reason = f"Compared with {WITHOUT[name]}, the image {what}."
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def _decision(more_certain: Stat, accuracy_change: Stat, informed: bool) -> bool | None:
    """Tell whether the model is more certain and rightly so; None where that is not shown."""
    if above(0.0, accuracy_change.high):
        return False
    surer = exceeds(more_certain, 0.5)
    return surer if not surer or informed or above(accuracy_change.low) else None


def _against(name: str, pair: Comparison, level: float | None, seed: int) -> list[Measurement]:
    """Return all measurements of one pair."""
    own, text = pair.cells
    change = distributions(own).max(axis=1) - distributions(text).max(axis=1)
    stats = {
        AT_LEAST_AS_CERTAIN: pair.share((change >= -TIE_TOLERANCE) * 1.0),
        CONFIDENCE_CHANGE: pair.mean(change, seed=seed),
        ACCURACY_WITH: pair.share(credit(own)),
        ACCURACY_WITHOUT: pair.share(credit(text)),
        ACCURACY_CHANGE: pair.difference(credit(own) - credit(text)),
        CALIBRATION_WITH: _calibration(pair, own, seed),
        CALIBRATION_WITHOUT: _calibration(pair, text, seed),
    }
    changed = np.abs(change) > (np.inf if level is None else level)
    if changed.any():
        stats[MORE_CERTAIN] = pair.only(changed).share((change[changed] > 0) * 1.0)
    return [quantity.measured(stat, against=name) for quantity, stat in stats.items()]


def _calibration(pair: Comparison, scores: ChoiceScores, seed: int) -> Stat:
    """Return the expected calibration error over the compared documents."""
    return replace(expected_calibration_error(scores, seed=seed), coverage=pair.coverage)


def _run(evidence: Evidence, seed: int) -> Outcome:
    own = evidence.need(PROMPTED)
    return outcome(own, other_images(evidence), repeated(evidence), seed=seed)


TEST = Test(name="certainty", title="uncertainty reduction", head="certainty", run=_run)
