"""The stored cells that several tests compare, and the numeric floor that one of them measures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import compare, distances
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.metrics import PROMPTED
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores

OWN = Condition()

WITHOUT = {"blank": "a blank image", "none": "text alone"}
"""What can count as the text alone, in words. Only a blank image decides: a prompt without image
tokens is another prompt, and changes what a model says that sees nothing."""

Change = Callable[[ChoiceScores, ChoiceScores], NDArray[np.float64]]
"""What differs between two cells of a `Comparison`, per document."""

NO_BLANK = "no blank image was shown, without which nothing is decided"

UNMEASURED = "the numeric floor was not measured (condition own+single)"

LEAST_FLOOR = 1e-6
"""No difference below this, in TV or bits, counts as one, however exact the repeat."""


def other_images(evidence: Evidence) -> dict[str, ChoiceScores]:
    """Return the prompted cells that replace or remove the image, by what they put there.

    The usual form of a kind is named by the kind alone, any other by its label.
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


def repeated(evidence: Evidence) -> ChoiceScores | None:
    """Return the scores of the same input under another batch composition, or None."""
    return evidence.get(PROMPTED, "own+single")


def numeric_floor(own: ChoiceScores, repeat: ChoiceScores, change: Change = distances) -> float:
    """Return the largest change that arithmetic alone causes.

    The largest over documents, in size, between two runs of the same input under different batch
    composition, and at least `LEAST_FLOOR`. By default of the total variation distance.
    """
    return max(LEAST_FLOOR, float(np.abs(change(*compare(own, repeat).cells)).max()))


def floor_of(evidence: Evidence) -> float | None:
    """Return the numeric floor of the dependency test; None if it was not measured."""
    own, repeat = evidence.need(PROMPTED), repeated(evidence)
    return None if repeat is None else numeric_floor(own, repeat)
