"""The rule readout: answers without any encoder or language model."""

from __future__ import annotations

from collections.abc import Sequence

from vlmbench.plan import Cell
from vlmbench.readouts._reading import (
    NOT_KNOWN,
    Answer,
    Progress,
    Reading,
    ignore,
    make_reading,
)
from vlmbench.readouts._reads import Opened
from vlmbench.spec import CHEAP_RULES, Rule
from vlmbench.tasks import Documents, FittedText, rule_scores
from vlmbench.types import Asked


class RuleReadout:
    """Takes `spec.Rule`."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Reading:
        """Let the rule answer every question; see `read_rule`."""
        assert isinstance(cell.readout, Rule), "found by its spec"
        train = opened.splits.get("train")
        return read_rule(asked, cell.readout, train, progress=opened.progress)


def read_rule(
    asked: Sequence[Asked], rule: Rule, train: Documents | None, *, progress: Progress = ignore
) -> Reading:
    """Answer every document by a cheap rule; ties share credit as everywhere.

    Documents whose coordinates are not known fail, and count as such, as they do when the
    encoder is asked.

    Args:
        asked: Documents, conditions already applied, with their questions, which the rule `text`
            reads.
        rule: The rule; the plan has made sure that it applies to the task.
        train: Training split; needed by a rule that learns.
        progress: Called with the number of documents just done.
    """
    text = None
    if rule.learns:
        assert train is not None, "planned without a training split"
        text = FittedText.fit(train)
    needs_places = CHEAP_RULES[rule.name] not in ("choices", "training")
    answers = []
    for one in asked:
        if text is not None:
            answers.append(Answer(scores=text.score(one)))
        elif one.document.candidates or not needs_places:
            answers.append(Answer(scores=rule_scores(rule.name, one.document)))
        else:
            answers.append(Answer(scores=None, error=NOT_KNOWN))
        progress(1)
    fitted = {} if text is None else {"rule": rule.name, "documents": text.documents}
    return make_reading([one.document for one in asked], answers, "similarity", fitted)
