"""The stored cells that several tests compare."""

from __future__ import annotations

from vlmbench.diagnostics._comparison import numeric_floor
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.metrics import PROMPTED
from vlmbench.spec import Condition
from vlmbench.types import ChoiceScores

OWN = Condition()

WITHOUT = {"none": "text alone", "blank": "a blank image"}
"""What can count as the text alone, in words; the first that was run decides. A blank image still
uses image tokens."""


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


def floor_of(evidence: Evidence) -> float | None:
    """Return the numeric floor of the dependency test; None if it was not measured."""
    return numeric_floor(evidence.need(PROMPTED), repeated(evidence))
