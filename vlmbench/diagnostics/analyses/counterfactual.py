"""Whether the answer follows the image when the one fact changes that decides it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import restricted
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.diagnostics._outcome import Analysis, Finding, Measurement, Quantity
from vlmbench.metrics import (
    ENCODER,
    PROMPTED,
    Clusters,
    answers,
    difference_stat,
    rate_stat,
    told,
)
from vlmbench.spec import Condition, Hidden
from vlmbench.types import ChoiceScores, ComparisonError, Stat

BOTH = Quantity("right with both images", "share")
SAME = Quantity("same answer to both images", "share")
FOLLOWS = Quantity("right answers that follow the image", "share")
CHANCE = Quantity("chance of being right with both images", "share")
LEAD = Quantity("encoder's lead, right with both images", "share")

CONDITION = Condition.parse("counterfactual")
READOUTS = (PROMPTED, ENCODER)
HIDDEN = Hidden().label
WAY = ("same", "language")
"""Parts of the model whose stages are followed: what it is given, and what it makes of it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """One readout of the same documents with their own and with counterfactual images.

    Attributes:
        own: Scores with the documents' own images.
        changed: Scores with the counterfactual ones; gold is that of the own images.
        targets: (n,) the choice that is right for the counterfactual images.
        coverage: Share of the documents that did not fail with either.
    """

    own: ChoiceScores
    changed: ChoiceScores
    targets: NDArray[np.int64]
    coverage: float

    @classmethod
    def of(cls, own: ChoiceScores, changed: ChoiceScores, targets: NDArray[np.int64]) -> Pair:
        """Pair what was read of the same documents.

        Raises:
            ComparisonError: If they are not the same documents in the same order, or it is not
                known which choice the counterfactual images make right.
        """
        before = restricted(own, changed.doc_ids)
        if (before.gold != changed.gold).any() or len(targets) != len(changed):
            raise ComparisonError("own and counterfactual cells differ in gold: they are no pair")
        if (targets < 0).any():
            raise ComparisonError("it is not known which choice the new images make right")
        ran = ~(before.failed | changed.failed)
        if not ran.any():
            raise ComparisonError("each document failed with one of its two images")
        return cls(
            own=before.take(ran),
            changed=changed.take(ran),
            targets=targets[ran],
            coverage=float(ran.mean()),
        )

    @property
    def right(self) -> tuple[Floats, Floats]:
        """(n,) share of each document's answer that is right, with the own and the new image."""
        rows = np.arange(len(self.own))
        return answers(self.own)[rows, self.own.gold], answers(self.changed)[rows, self.targets]

    @property
    def both(self) -> Floats:
        """(n,) share of right answers with both images; ties with one and the other multiply."""
        before, after = self.right
        return before * after

    @property
    def same(self) -> Floats:
        """(n,) 1 minus the total variation between the answers to the two images."""
        moved = np.abs(answers(self.own) - answers(self.changed)).sum(axis=1) / 2
        return np.asarray(1 - moved)


def followed(pair: Pair, readout: str) -> list[Measurement]:
    """Return how a readout's answers follow the image.

    A reader of the text alone gives the same answer to both images, and is right with both on no
    document, however often it is right with either. Of its right answers none follows.
    """
    clusters = Clusters.among(pair.own)
    found = [
        quantity.measured(rate_stat(values, clusters, coverage=pair.coverage), readout=readout)
        for quantity, values in ((BOTH, pair.both), (SAME, pair.same))
    ]
    before, after = pair.right
    held = before == 1
    if held.any():
        clusters = Clusters.among(pair.own.take(held))
        share = pair.coverage * float(held.mean())
        stat = rate_stat(after[held], clusters, coverage=share)
        found.append(FOLLOWS.measured(stat, readout=readout))
    return found


def lead(asked: Pair, seen: Pair) -> Measurement | None:
    """Return on how many more documents the encoder is right with both images than the model.

    Args:
        asked: What the model answers.
        seen: What the encoder's readout answers.

    Returns:
        The paired difference with Tango's interval; None if they are not of the same documents.
    """
    if asked.own.doc_ids != seen.own.doc_ids:
        return None
    clusters = Clusters.among(asked.own)
    more = seen.both - asked.both
    return LEAD.measured(difference_stat(more, clusters, coverage=asked.coverage))


def _stages(evidence: Evidence) -> list[str]:
    """Return the stages of the image's way that were read of both images."""
    return [
        readout
        for readout, condition in evidence.scores
        if condition == CONDITION
        and readout.startswith(f"{HIDDEN}-")
        and readout.removeprefix(f"{HIDDEN}-").partition("-")[0] in WAY
    ]


def _run(evidence: Evidence, seed: int) -> Finding | None:
    del seed  # nothing is resampled
    pairs = {
        readout: Pair.of(
            evidence.need(readout),
            evidence.scores[readout, CONDITION],
            evidence.image_targets[readout, CONDITION],
        )
        for readout in (*READOUTS, *_stages(evidence))
        if (readout, CONDITION) in evidence.scores
    }
    if not pairs:
        return None
    found = [one for readout, pair in pairs.items() for one in followed(pair, readout)]
    ahead = lead(pairs[PROMPTED], pairs[ENCODER]) if pairs.keys() >= set(READOUTS) else None
    found += [] if ahead is None else [ahead]
    first = next(iter(pairs.values())).own
    coin = float((1.0 / first.n_choices**2).mean())
    found.append(CHANCE.measured(Stat(value=coin, n=len(first))))
    finding = Finding(analysis=ANALYSIS, says="", measurements=tuple(found))
    said = [
        f"{who} on {told(stat)}"
        for readout, who in ((PROMPTED, "the model is"), (ENCODER, "the encoder's readout is"))
        if (stat := finding.find(BOTH, readout=readout))
    ]
    text = f"Right with its own image and with one drawn to another answer: {', '.join(said)}."
    same = finding.find(SAME, readout=PROMPTED)
    text += "" if same is None else f" The model answers both alike on {told(same)}."
    return replace(finding, says=text)


ANALYSIS = Analysis(name="counterfactual", title="images drawn with another answer", run=_run)
