"""Documents of a record as other formats show them: what was asked, answered and earned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vlmbench.metrics import answers, credit
from vlmbench.store import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One document of one cell.

    Attributes:
        doc_id: Its id.
        prompt: What the model was given; empty for readouts without a prompt.
        response: What it wrote; empty unless it generated.
        finish: Why that ended.
        error: Why it failed; empty if it did not.
        choices: What there was to choose from; none for free text.
        reference: What is right.
        answered: The choices that it was answered with: several that tie, or none.
        scores: A score for each choice.
        credit: What it earned, in [0, 1]; None if it failed.
        abstained: No readable answer was given.
    """

    doc_id: str
    prompt: str
    response: str
    finish: str
    error: str
    choices: tuple[str, ...]
    reference: str
    answered: tuple[str, ...]
    scores: tuple[float, ...]
    credit: float | None
    abstained: bool

    @property
    def json_scores(self) -> list[float | str]:
        """The scores, as text where JSON has no such number."""
        return [value if math.isfinite(value) else str(value) for value in self.scores]


def samples(record: Record) -> list[Sample]:
    """Return the documents of a record, in order.

    Raises:
        VlmbenchError: If the record is missing, damaged or of another format.
    """
    scores, asked = record.scores(), record.exchanges()
    free = scores.scale == "credit"
    kept = np.flatnonzero(~scores.failed)
    earned = dict(zip(kept.tolist(), credit(scores).tolist(), strict=True)) if len(kept) else {}
    shares = dict(zip(kept.tolist(), answers(scores) > 0, strict=True)) if len(kept) else {}
    found = []
    for place, one in enumerate(asked):
        choices = tuple(one.choices)
        won = [] if free or place not in shares else shares[place][: len(choices)]
        found.append(
            Sample(
                doc_id=scores.doc_ids[place],
                prompt=one.prompt,
                response=one.response,
                finish=one.finish,
                error=one.error or ("it could not be run" if scores.failed[place] else ""),
                choices=() if free else choices,
                reference=choices[scores.gold[place]],
                answered=tuple(c for c, is_best in zip(choices, won, strict=False) if is_best),
                scores=tuple(scores.scores[place, : scores.n_choices[place]].tolist()),
                credit=earned.get(place),
                abstained=bool(scores.abstained[place]),
            )
        )
    return found
