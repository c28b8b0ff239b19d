"""The criteria of the verdict, as data: which indicators are on which side of which threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vlmbench.metrics import above
from vlmbench.types import Stat

VerdictName = Literal[
    "encoder-limited",
    "readout bottleneck",
    "visual neglect",
    "fusion bottleneck",
    "negative exchange rate",
    "text dominance",
    "budget collapse",
    "uses its vision",
    "inconclusive",
]

IndicatorName = Literal[
    "encoder", "gain", "late", "shift", "consistency", "information", "override", "fall"
]

INDICATORS: dict[IndicatorName, str] = {
    "encoder": "accuracy of the encoder's readout, corrected for chance",
    "gain": "accuracy with the image minus accuracy with a blank one",
    "late": "accuracy of a linear readout of a late layer minus that of prompt, blind or majority",
    "shift": "mean TV against swapped images",
    "consistency": "p-value of image and text states sharing more than without the image",
    "information": "usable information of the image (bits)",
    "override": "share of documents that follow the image against a wrong hint",
    "fall": "share of the image's influence that filler takes away",
}
"""What each indicator is, in the words that sentences are made of."""

ThresholdName = Literal[
    "near_chance",
    "high_encoder",
    "gain",
    "late",
    "shift",
    "harm",
    "override",
    "consistency",
    "fall",
]
"""The keys of verdict.yaml."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One indicator on one side of one threshold.

    Attributes:
        indicator: Which indicator.
        side: `above` the threshold, or `at most` at it; each negates the other.
        threshold: Key of verdict.yaml.
    """

    indicator: IndicatorName
    side: Literal["above", "at most"]
    threshold: ThresholdName

    def holds(self, stat: Stat, limit: float) -> bool | None:
        """Tell whether the whole interval is on that side; None if it is on both."""
        low = stat.value if math.isnan(stat.low) else stat.low
        high = stat.value if math.isnan(stat.high) else stat.high
        if above(low, limit):
            return self.side == "above"
        if not above(high, limit):
            return self.side == "at most"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A verdict and what it takes: every clause.

    Attributes:
        verdict: What the criterion names.
        says: Why, in one clause of a sentence.
        clauses: All of them have to hold.
        yields_to: Verdicts whose criteria must have been ruled out first; None for all earlier
            ones.
    """

    verdict: VerdictName
    says: str
    clauses: tuple[Clause, ...]
    yields_to: tuple[VerdictName, ...] | None = None


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        verdict="encoder-limited",
        says="the encoder's own readout is near chance, and the image does not help the model",
        clauses=(
            Clause("encoder", "at most", "near_chance"),
            Clause("gain", "at most", "gain"),
        ),
    ),
    Criterion(
        verdict="readout bottleneck",
        says="late layers still carry the answer, which the language-model head does not give",
        clauses=(Clause("late", "above", "late"), Clause("gain", "at most", "gain")),
    ),
    Criterion(
        verdict="visual neglect",
        says="answers do not depend on the image",
        clauses=(Clause("shift", "at most", "shift"),),
    ),
    Criterion(
        verdict="fusion bottleneck",
        says="the encoder knows, but image and text states share no more than without the image",
        clauses=(
            Clause("encoder", "above", "high_encoder"),
            Clause("consistency", "above", "consistency"),
            Clause("gain", "at most", "gain"),
        ),
    ),
    Criterion(
        verdict="negative exchange rate",
        says="the image takes probability away from the right answer",
        clauses=(Clause("information", "at most", "harm"),),
    ),
    Criterion(
        verdict="text dominance",
        says="the image helps under the plain prompt, but a wrong hint overrides it",
        clauses=(
            Clause("override", "at most", "override"),
            Clause("shift", "above", "shift"),
            Clause("gain", "above", "gain"),
        ),
    ),
    Criterion(
        verdict="budget collapse",
        says="the image helps under the plain prompt, but loses its influence as the text grows",
        clauses=(
            Clause("fall", "above", "fall"),
            Clause("shift", "above", "shift"),
            Clause("gain", "above", "gain"),
        ),
    ),
    Criterion(
        verdict="visual neglect",
        says="the image does not raise accuracy over a blank one",
        clauses=(Clause("gain", "at most", "gain"),),
        yields_to=("encoder-limited",),
    ),
    Criterion(
        verdict="uses its vision",
        says="answers depend on the image and are more often right with it",
        clauses=(Clause("gain", "above", "gain"), Clause("shift", "above", "shift")),
    ),
)
"""In order of precedence; see `vlmbench.diagnostics._verdict`."""
