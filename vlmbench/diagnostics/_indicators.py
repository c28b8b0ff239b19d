"""The indicators that the verdict's criteria look at, from outcomes and stored scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vlmbench.diagnostics import (
    budget,
    consistency,
    contribution,
    dependency,
    late_layers,
    override,
)
from vlmbench.diagnostics._comparison import restricted
from vlmbench.diagnostics._criteria import IndicatorName
from vlmbench.diagnostics._outcome import Outcome, Quantity, Test
from vlmbench.diagnostics._verdict import Indicators
from vlmbench.metrics import accuracy, chance, corrected, gap
from vlmbench.types import ChoiceScores, Stat


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracies:
    """What the verdict needs besides the tests; None for what was not run.

    Attributes:
        prompted: The model with its images.
        blank: The model with blank images.
        gain: The first minus the second, paired by document.
        encoder: The encoder's readout.
        chance: Expected accuracy of a guess; None for free text.
    """

    prompted: Stat | None = None
    blank: Stat | None = None
    gain: Stat | None = None
    encoder: Stat | None = None
    chance: float | None = None


def accuracies(
    own: ChoiceScores | None,
    blank: ChoiceScores | None,
    encoder: ChoiceScores | None,
) -> Accuracies:
    """Return the accuracies of the stored readings, without those in which every document failed.

    Raises:
        ComparisonError: If the longer of own and blank lacks documents of the other, or orders them
            otherwise.
    """
    own, blank, encoder = (_answered(scores) for scores in (own, blank, encoder))
    asked = own if own is not None else encoder
    guessed = asked is not None and asked.scale != "credit"
    return Accuracies(
        prompted=None if own is None else accuracy(own),
        blank=None if blank is None else accuracy(blank),
        gain=None if own is None or blank is None else _gain(own, blank),
        encoder=None if encoder is None else accuracy(encoder),
        chance=chance(asked) if guessed and asked is not None else None,
    )


def _gain(own: ChoiceScores, blank: ChoiceScores) -> Stat | None:
    """Return the paired difference on the documents of the shorter of the two cells."""
    ids = min(own, blank, key=len).doc_ids
    own, blank = restricted(own, ids), restricted(blank, ids)
    return None if (own.failed | blank.failed).all() else gap(own, blank)


def _answered(scores: ChoiceScores | None) -> ChoiceScores | None:
    return None if scores is None or scores.failed.all() else scores


def indicators(outcomes: Sequence[Outcome], read: Accuracies) -> Indicators:
    """Return what the criteria are applied to; what was not measured is left out.

    *shift* is the mean total variation against other documents' images, *override* the share that
    follows the image over all strengths and documents, *consistency* the p over layers, which needs
    the control, *information* the usable information against a blank image, *fall* the share of
    influence that is lost at the place of filler where it loses more, *late* the readout of a late
    layer (`_late`).
    """
    by_test = {outcome.test: outcome for outcome in outcomes}

    def found(test: Test, quantity: Quantity, **at: str | float) -> Stat | None:
        return by_test[test].find(quantity, **at) if test in by_test else None

    floor = found(dependency.TEST, dependency.NUMERIC_FLOOR)
    lost = [found(budget.TEST, budget.LOST, place=place) for place in ("before", "after")]
    stats: dict[IndicatorName, Stat | None] = {
        "encoder": _corrected(read),
        "gain": read.gain,
        "late": _late(by_test.get(consistency.TEST), read),
        "shift": found(dependency.TEST, dependency.TOTAL_VARIATION, against="swapped"),
        "consistency": found(consistency.TEST, consistency.P_OVER_LAYERS),
        "information": found(contribution.TEST, contribution.USABLE, against="blank"),
        "override": found(override.TEST, override.FOLLOWING, strength="all", of="all"),
        "fall": max(filter(None, lost), key=lambda stat: stat.value, default=None),
    }
    return Indicators(
        stats={name: stat for name, stat in stats.items() if stat is not None},
        floor=0.0 if floor is None else floor.value,
    )


def _corrected(read: Accuracies) -> Stat | None:
    """Return the encoder's accuracy corrected for chance."""
    if read.encoder is None or read.chance is None or read.chance >= 1.0:
        return None
    return corrected(read.encoder, read.chance)


def _late(outcome: Outcome | None, read: Accuracies) -> Stat | None:
    """Return how far a linear readout of a late layer is above everything it must beat.

    The layer is the one at three quarters of the depth, fixed beforehand: the best of several
    would be too good. To be beaten are, on the same documents, the head's answer, the same readout
    of a pass with blank images and the best constant letter, and the blind answer, of which the
    highest counts; else a readout that learnt the task's letters, or what the text alone says of
    the answer, would pass for knowledge of the image. None where no pass with blank images was
    read: without that control the indicator is not measured. Each readout is a fit to a few
    hundred documents, so it bounds what its states say from below only. The interval of the
    difference is Newcombe's hybrid score interval for independent rates (1998, method 10,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I), too wide
    rather than too narrow where both come from the same documents.
    """
    if outcome is None:
        return None
    curve = outcome.curve(late_layers.READOUT, "layer", of="last")
    if not curve:
        return None
    layer = round(0.75 * curve[-1][0])
    head = outcome.find(late_layers.HEAD)
    blank = outcome.find(late_layers.READOUT, layer=layer, of="blank")
    majority = outcome.find(late_layers.MAJORITY)
    if head is None or blank is None or majority is None:
        return None
    beaten = [head, blank, _known(majority.value)]
    beaten += [] if read.blank is None else [read.blank]
    return _difference(dict(curve)[layer], max(beaten, key=lambda stat: stat.value))


def _known(value: float) -> Stat:
    return Stat(value=value, low=value, high=value, n=1)


def _difference(a: Stat, b: Stat) -> Stat:
    value = a.value - b.value
    return Stat(
        value=value,
        low=value - math.hypot(a.value - a.low, b.high - b.value),
        high=value + math.hypot(a.high - a.value, b.value - b.low),
        n=a.n,
        coverage=a.coverage,
    )
