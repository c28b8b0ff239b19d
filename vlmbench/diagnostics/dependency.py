"""Dependency: does the output change at all when the image does?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vlmbench.diagnostics._cells import UNMEASURED, numeric_floor, other_images, repeated
from vlmbench.diagnostics._comparison import (
    Comparison,
    compare,
    distances,
    exceeds,
)
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Measurement, Outcome, Quantity, Test
from vlmbench.metrics import PROMPTED, answers, brief, told
from vlmbench.types import ChoiceScores, Stat

TOTAL_VARIATION = Quantity("total variation", "TV")
NUMERIC_FLOOR = Quantity("numeric floor", "TV")
FLIP_RATE = Quantity("flip rate", "share")
ABOVE_FLOOR = Quantity("share above the floor", "share")

DECIDING = {
    "swapped": "another document's image",
    "scrambled": "scrambled patches",
    "blank": "a blank image",
}
"""Which other image decides, in words: the first that was run. Another document's image looks like
an image of the task; a scrambled or grey one can change the output of a model that tells images
from non-images and no more. Leaving the image out is not another image, and decides nothing."""


def outcome(
    own: ChoiceScores,
    others: Mapping[str, ChoiceScores],
    repeat: ChoiceScores | None,
    *,
    seed: int,
) -> Outcome:
    """Return how far the distribution over choices moves when the image is replaced.

    Per replacement: the mean over documents of the total variation distance TV(p, p'), the share
    of documents whose answer changes (ties share an answer), and the share whose distance lies
    above the numeric floor. The test holds if the interval of the mean distance lies above that
    floor, fails if it lies at or below it, and is open if the floor was not measured.

    Args:
        own: Scores with each document's own images.
        others: Scores of the same documents by what took the image's place: "swapped",
            "scrambled", "blank", "none".
        repeat: Scores with the same input under another batch composition, if run.
        seed: Seed of the bootstrap.

    Raises:
        ComparisonError: If a cell does not cover documents of `own`, in order.
    """
    decider = next((name for name in DECIDING if name in others), None)
    if decider is None:
        return TEST.could_not_run("no cell shows the model another image")
    floor = None if repeat is None else numeric_floor(own, repeat)
    found: list[Measurement] = []
    means: dict[str, Stat] = {}
    if repeat is not None and floor is not None:
        same = compare(own, repeat)
        stat = Stat(value=floor, n=len(same), coverage=same.coverage)
        found.append(NUMERIC_FLOOR.measured(stat))
    for name, other in others.items():
        pair = compare(own, other)
        means[name] = pair.mean(distances(*pair.cells), seed=seed)
        found += _against(name, pair, means[name], floor)
    limit = UNMEASURED if floor is None else f"the numeric floor is {brief(floor)}"
    reason = (
        f"With {DECIDING[decider]} the distribution over choices moves by {told(means[decider])} "
        f"in total variation on {means[decider].n} documents; {limit}."
    )
    holds = None if floor is None else exceeds(means[decider], floor)
    return Outcome(test=TEST, holds=holds, reason=reason, measurements=tuple(found))


def _against(name: str, pair: Comparison, mean: Stat, floor: float | None) -> list[Measurement]:
    """Return the quantities against one replacement, the last only where a floor was measured."""
    own, other = pair.cells
    flipped = np.abs(answers(own) - answers(other)).sum(axis=1) / 2
    found = [
        TOTAL_VARIATION.measured(mean, against=name),
        FLIP_RATE.measured(pair.share(flipped), against=name),
    ]
    if floor is not None:
        above = (distances(own, other) > floor).astype(np.float64)
        found.append(ABOVE_FLOOR.measured(pair.share(above), against=name))
    return found


def _run(evidence: Evidence, seed: int) -> Outcome:
    return outcome(evidence.need(PROMPTED), other_images(evidence), repeated(evidence), seed=seed)


TEST = Test(name="dependency", title="dependency", head="depend-\nency", run=_run)
