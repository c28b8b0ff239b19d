"""The rule readout: answers that no encoder and no language model takes part in."""

from __future__ import annotations

from collections.abc import Sequence

from vlmbench.readouts._reading import Answer, Progress, Reading, ignore, make_reading
from vlmbench.spec import RuleName
from vlmbench.tasks import Documents, FittedText, learns, rule_scores
from vlmbench.types import Document

_UNKNOWN = "its coordinates are not known"


def read_rule(
    documents: Sequence[Document],
    questions: Sequence[str],
    rule: RuleName,
    train: Documents | None,
    *,
    progress: Progress = ignore,
) -> Reading:
    """Answer every document by a cheap rule; ties share credit as everywhere.

    Documents whose coordinates are not known fail, and count as such, as they do when the
    encoder is asked.

    Args:
        documents: Documents, conditions already applied.
        questions: Their rendered questions, which the rule `text` reads.
        rule: The rule; the plan has seen to it that the task gives it something to go by.
        train: Training split; needed by a rule that learns.
        progress: Called with the number of documents just done.
    """
    text = None
    if learns(rule):
        assert train is not None, "planned without a training split"
        text = FittedText.fit(train)
    answers = []
    for document, question in zip(documents, questions, strict=True):
        if text is not None:
            answers.append(Answer(scores=text.score(document, question)))
        elif rule in ("first_choice", "longest_choice") or document.candidates:
            answers.append(Answer(scores=rule_scores(rule, document)))
        else:
            answers.append(Answer(scores=None, error=_UNKNOWN))
        progress(1)
    fitted = {} if text is None else {"rule": rule, "documents": text.documents}
    return make_reading(documents, answers, "similarity", fitted)
