"""Scores per document and choice: what every readout returns and every metric takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Scale = Literal["logprob", "similarity", "probability", "vote", "credit"]


def why_unusable(scores: NDArray[np.float64]) -> str:
    """Return why one document's scores name no choice; empty if they do.

    A model whose numbers overflow (float16) says nothing, which is not a wrong answer; and scores
    that are all minus infinity are no tie.
    """
    if np.isnan(scores).any() or np.isposinf(scores).any():
        return "the model's numbers overflowed: its scores are NaN or infinite"
    if np.isneginf(scores).all():
        return "every choice has a score of minus infinity"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChoiceScores:
    """One score per document and choice; larger means more likely to be the answer.

    Attributes:
        doc_ids: Documents in order; length n.
        gold: (n,) int64, index of the right choice.
        n_choices: (n,) int64, choices of each document.
        scores: (n, max choices) float64; `-inf` at and past a document's `n_choices`.
        scale: What a score is. `logprob`: summed log-likelihood in nats; `similarity`: ordered,
            but on no scale of probability; `probability`: sums to 1 over choices;
            `vote`: 1 for the chosen one, 0 elsewhere; `credit`: free text whose correctness in
            [0, 1] is the score of gold, and there is nothing that a guess could choose from.
        abstained: (n,) bool, no readable answer was given: worth 0, and counted separately.
        failed: (n,) bool, the document could not be run at all: excluded and reported.
        clusters: (n,) int64, which documents share something (an image, a scene) and so are not
            independent: for each, the position of the first document of its cluster. None where
            every document stands for itself.
    """

    doc_ids: tuple[str, ...]
    gold: NDArray[np.int64]
    n_choices: NDArray[np.int64]
    scores: NDArray[np.float64]
    scale: Scale
    abstained: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    clusters: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n = len(self.doc_ids)
        if n == 0:
            raise ValueError("no documents: a score of nothing is not 0.0")
        if len(set(self.doc_ids)) != n:
            raise ValueError("document ids are not unique")
        if self.scores.ndim != 2 or self.scores.shape[0] != n:
            raise ValueError(f"scores must be ({n}, choices), got {self.scores.shape}")
        for name in ("gold", "n_choices", "abstained", "failed", "cluster_of"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} must be ({n},), got {getattr(self, name).shape}")
        if (self.cluster_of != _firsts(self.cluster_of)).any():
            raise ValueError("clusters must name the first document of each document's cluster")
        if (self.n_choices < 1).any() or (self.n_choices > self.scores.shape[1]).any():
            raise ValueError("n_choices must lie between 1 and the width of scores")
        if (self.gold < 0).any() or (self.gold >= self.n_choices).any():
            raise ValueError("gold lies outside a document's choices")
        self._check_scores()

    def _check_scores(self) -> None:
        used = ~self.unused()
        answered = ~self.abstained & ~self.failed
        nowhere: NDArray[np.bool_] = (self.scores == -np.inf).all(axis=1)
        if not (self.scores[answered[:, None] & used] < np.inf).all() or nowhere[answered].any():
            raise ValueError("scores hold NaN, inf or only -inf where an answer was given")
        if not np.isneginf(self.scores[~used]).all():
            raise ValueError("scores past n_choices must be -inf")

    def __len__(self) -> int:
        return len(self.doc_ids)

    def unused(self) -> NDArray[np.bool_]:
        """(n, max choices) bool: True where a document has no such choice."""
        return np.arange(self.scores.shape[1])[None, :] >= self.n_choices[:, None]

    @property
    def cluster_of(self) -> NDArray[np.int64]:
        """(n,) int64: the position of the first document of each document's cluster."""
        return np.arange(len(self)) if self.clusters is None else self.clusters

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> ChoiceScores:
        """Return the documents at `index` (positions or a mask), in that order."""
        positions = np.arange(len(self))[index]
        return replace(
            self,
            doc_ids=tuple(self.doc_ids[i] for i in positions),
            gold=self.gold[positions],
            n_choices=self.n_choices[positions],
            scores=self.scores[positions],
            abstained=self.abstained[positions],
            failed=self.failed[positions],
            clusters=None if self.clusters is None else _firsts(self.clusters[positions]),
        )


def _firsts(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each label the position at which it first occurs: (n,) int64."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)
