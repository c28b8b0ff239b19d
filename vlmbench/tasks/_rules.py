"""Cheap rules on documents: what position, raw pixels, order or wording alone can tell.

The rules are those that the rendered worlds are tested with; here they take the documents of any
task, and one more learns from the wording. Nothing in this module knows torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from vlmbench.spec import CHEAP_RULES, LooksAt, RuleName
from vlmbench.tasks import worlds
from vlmbench.tasks._documents import IMAGE_PLACEHOLDER, Documents
from vlmbench.types import Asked, Document, Problem, Region, VlmbenchError

# Differences below this are rounding in an optimiser, and must not break a tie.
_DECIMALS = 6


def rule_scores(rule: RuleName, document: Document) -> NDArray[np.float64]:
    """Return (choices,) float64, a rule's score of each choice; the largest is its answer.

    Pixels are those of `encoder_images`, without drawn markers where such exist. The regions
    that the rule needs must be known.
    """
    scores = worlds.CHEAP_RULES[rule](_row(CHEAP_RULES[rule], document))
    assert scores is not None, "planned without what the rule needs"
    return np.asarray(scores, dtype=np.float64)


def _row(looks_at: LooksAt, document: Document) -> dict[str, Any]:
    """Return what a rule looks at, as the worlds' rows name it."""
    row: dict[str, Any] = {"choices": choice_texts(document)}
    shown: list[Region | None] = []
    match looks_at:
        case "choices" | "training":
            return row
        case "points":
            shown = [document.candidates[0]]
        case "reference":
            assert document.reference is not None, "planned without a reference"
            shown = [document.reference, document.candidates[0]]
            row["reference"] = document.reference.xy
        case "images":
            shown = [document.reference, *document.candidates]
        case never:
            assert_never(never)
    if looks_at != "images":
        row["points"] = [region.xy for region in document.candidates]
    regions = [region for region in shown if region is not None]
    for number, region in enumerate(regions, start=1):
        row[f"image_{number}"] = document.encoder_images[region.image].decode()
    return row


def choice_texts(document: Document) -> tuple[str, ...]:
    """Return what the choices say: the data's column `choices`, if it has one text for each.

    The choices themselves are often letters, whose text is in the question.
    """
    texts = document.row.get("choices")
    if isinstance(texts, list | tuple) and len(texts) == len(document.choices):
        return tuple(str(text) for text in texts)
    return document.choices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedText:
    """Logistic regression on the words of question and choices, with no image.

    A choice is described by its position, its own words, and each word of the question together
    with the position. The model is asked of each choice how likely it is to be the right one.

    Attributes:
        pipeline: Fitted scikit-learn pipeline over such descriptions.
        documents: Documents it learned from.
    """

    pipeline: Any
    documents: int

    @classmethod
    def fit(cls, train: Documents) -> FittedText:
        """Fit on a training split; raises VlmbenchError if that is empty."""
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        described: list[dict[str, float]] = []
        right: list[bool] = []
        for document in train:
            described += _describe(document, train.prompt(document))
            right += [index == document.gold for index in range(len(document.choices))]
        if not described:
            raise VlmbenchError(
                Problem(file=str(train.task.path), message="the training split is empty")
            )
        pipeline = make_pipeline(DictVectorizer(), LogisticRegression(max_iter=1000))
        return cls(pipeline=pipeline.fit(described, right), documents=len(train))

    def score(self, asked: Asked) -> NDArray[np.float64]:
        """Return (choices,) float64, the log-odds that each choice is the right one."""
        odds = self.pipeline.decision_function(_describe(asked.document, asked.text))
        return np.asarray(np.round(odds, _DECIMALS), dtype=np.float64)


def _describe(document: Document, question: str) -> list[dict[str, float]]:
    asked = _words(question.replace(IMAGE_PLACEHOLDER, " "))
    return [
        dict.fromkeys(
            [f"at {place}", *(f"says {word}" for word in _words(text)),
             *(f"at {place} asked {word}" for word in asked)],
            1.0,
        )
        for place, text in enumerate(choice_texts(document))
    ]  # fmt: skip


def _words(text: str) -> Sequence[str]:
    return re.findall(r"\w+", text.lower())
