"""What a readout returns for one cell: scores, and what each document's record should say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics import StatRow, permute_choices
from vlmbench.models import Inside
from vlmbench.types import (
    Asked,
    ChoiceScores,
    Document,
    Internals,
    Scale,
    StageScores,
    clusters_of,
    why_unusable,
)

Progress = Callable[[int], None]
"""Called with how many more documents are done."""


NOT_KNOWN = "its coordinates are not known"
"""Why a document fails that its task lets stand without coordinates: nothing can be done again."""


def ignore(done: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One document read.

    Attributes:
        scores: (n choices,) float64, or None if the document was abstained on or failed.
        prompt: The exact text a model was given; empty for encoder readouts.
        response: The text it wrote, thoughts included; empty unless it generated.
        finish: Why that ended (`stop`, `length`, ...); empty where nothing says so.
        error: Why the document failed; empty if it did not.
        inside: What the language model held meanwhile; None unless it was listened to.
        stages: (n choices,) float64 by stage, where several were read.
    """

    scores: NDArray[np.float64] | None
    prompt: str = ""
    response: str = ""
    finish: str = ""
    error: str = ""
    inside: Inside | None = None
    stages: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """One cell read: scores of all documents, their answers, and what was fitted for it.

    Attributes:
        scores: Scores in document order.
        answers: One per document, in the same order.
        fitted: Record of a fitted probe (recipe, validation metrics); empty if none was.
        notes: How the answers came about: the tokens that were scored, how text was decoded and
            read (`read_by` names the rule; `unread` and `cut_off` count documents); what a server
            left open and cost; or how the inside of a model was read.
        internals: What the language model held, in document order; None unless it was listened to.
        stages: Scores of every stage, in the order of the signal, where several were read.
        weights: Digests of the weights that were read, by part: `model`, `encoder`.
    """

    scores: ChoiceScores
    answers: tuple[Answer, ...]
    fitted: dict[str, Any]
    notes: dict[str, Any]
    internals: Internals | None = None
    stages: tuple[StageScores, ...] = ()
    weights: dict[str, str] = field(default_factory=dict)

    @property
    def broken(self) -> dict[str, str]:
        """Why documents failed, by `doc_id`, without those whose task lets them fail."""
        pairs = zip(self.scores.doc_ids, self.answers, strict=True)
        return {k: one.error for k, one in pairs if one.error and one.error != NOT_KNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What a readout returns if it does not score documents.

    Attributes:
        rows: Finished numbers.
    """

    rows: tuple[StatRow, ...]


def in_canonical_order(reading: Reading, asked: Sequence[Asked]) -> Reading:
    """Return a reading whose scores are in the documents' own order of choices.

    Args:
        reading: Scores by the places at which the prompts list the choices.
        asked: The questions, in the order of the reading.
    """
    if not any(one.order for one in asked):
        return reading
    n, width = reading.scores.scores.shape
    permutation = np.tile(np.arange(width), (n, 1))
    for row, one in zip(permutation, asked, strict=True):
        row[: len(one.order)] = one.order
    return replace(reading, scores=permute_choices(reading.scores, permutation))


def _usable(answer: Answer) -> Answer:
    """Return an answer, or why it is none, without what the model held meanwhile."""
    read = [] if answer.scores is None else [answer.scores, *answer.stages.values()]
    why = next(filter(None, map(why_unusable, read)), "")
    return replace(answer, scores=None, error=why, inside=None, stages={}) if why else answer


def make_reading(
    documents: Sequence[Document],
    answers: Sequence[Answer],
    scale: Scale,
    fitted: dict[str, Any] | None = None,
    notes: dict[str, Any] | None = None,
) -> Reading:
    """Return the reading of `documents`, whose answers are in the same order.

    An answer whose scores name no choice (`vlmbench.types.why_unusable`) is a failed document.
    """
    answers = [_usable(answer) for answer in answers]
    n_choices = np.array([len(document.choices) for document in documents], dtype=np.int64)
    scores = np.full((len(documents), int(n_choices.max())), -np.inf)
    for index, answer in enumerate(answers):
        if answer.scores is not None:
            scores[index, : n_choices[index]] = answer.scores
    failed = np.array([bool(answer.error) for answer in answers])
    unread = np.array([answer.scores is None for answer in answers])
    clusters = clusters_of(documents)
    return Reading(
        scores=ChoiceScores(
            doc_ids=tuple(document.doc_id for document in documents),
            gold=np.array([document.gold for document in documents], dtype=np.int64),
            n_choices=n_choices,
            scores=scores,
            scale=scale,
            abstained=unread & ~failed,
            failed=failed,
            clusters=clusters if len(set(clusters)) < len(documents) else None,
        ),
        answers=tuple(answers),
        fitted=fitted or {},
        notes=notes or {},
    )
