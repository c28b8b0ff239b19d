"""What every record of a task says about each of its documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmbench.metrics import ENCODER, PROMPTED, answers, credit, probabilities
from vlmbench.spec import ANSWER_RULES
from vlmbench.store import Exchange, Record, Run
from vlmbench.types import Attention, ChoiceScores

_SAYS = {rule(kind=rule.kind_of()).name: rule.says for rule in ANSWER_RULES}

_FIRST = (PROMPTED, ENCODER, "own", "blank")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellRead:
    """One record, document by document.

    Attributes:
        model: Its model.
        task: Its task.
        readout: The readout's label.
        condition: The condition's label.
        hints: The condition's text is a hint.
        shows_own: The condition leaves the document's images as they are.
        scores: What was recorded.
        values: (n, max choices) float64: probabilities where the scale has them, else the scores.
        shares: (n, max choices + 1) float64: what was answered, ties shared, abstention last; NaN
            for documents that failed.
        credit: (n,) float64 in [0, 1]; NaN for documents that failed.
        exchanges: What was asked and what came back.
        notes: What the readout notes about how it read.
        attention: Attention by head and its maps, where the record has them.
        at: Where each document stands.
    """

    model: str
    task: str
    readout: str
    condition: str
    hints: bool
    shows_own: bool
    scores: ChoiceScores
    values: NDArray[np.float64]
    shares: NDArray[np.float64]
    credit: NDArray[np.float64]
    exchanges: Sequence[Exchange]
    notes: dict[str, Any]
    attention: Attention | None
    at: dict[str, int]

    @classmethod
    def read(cls, record: Record) -> CellRead:
        """Read a record; raises VlmbenchError if it is missing or damaged."""
        about, scores, inside = record.require(), record.scores(), record.internals()
        condition = about.basis.condition
        choosing = scores.scale in ("logprob", "probability")
        values = scores.scores.copy()
        shares = np.full((len(scores), values.shape[1] + 1), np.nan)
        earned = np.full(len(scores), np.nan)
        ran = ~scores.failed
        if ran.any():
            given = answers(scores)  # as wide as the longest list of choices, and abstention
            wide = np.zeros((len(given), shares.shape[1]))
            wide[:, : given.shape[1] - 1], wide[:, -1] = given[:, :-1], given[:, -1]
            shares[ran] = wide
            earned[ran] = credit(scores)
            if choosing:
                values[ran] = probabilities(scores)
        return cls(
            model=about.basis.model,
            task=about.basis.task,
            readout=about.basis.readout,
            condition=condition.label,
            hints=condition.text.kind == "hint",
            shows_own=condition.image.kind == "own",
            scores=scores,
            values=values,
            shares=shares,
            credit=earned,
            exchanges=record.exchanges(),
            notes=about.notes,
            attention=None if inside is None else inside.attention,
            at={doc_id: place for place, doc_id in enumerate(scores.doc_ids)},
        )

    @property
    def unit(self) -> str:
        """What `values` are, in a word."""
        scale = self.scores.scale
        return "probability" if scale == "logprob" else scale

    def unread(self, place: int) -> str:
        """Return why the answer of a document that was abstained on was not read, in words."""
        if not self.scores.abstained[place]:
            return ""
        said = self.exchanges[place]
        rule = str(self.notes.get("read_by", ""))
        if not said.response.strip():
            return "The model wrote nothing."
        cut = " It was cut off at the most tokens allowed." if said.finish == "length" else ""
        by = f" ({rule}: {_SAYS.get(rule, 'another rule')})" if rule else ""
        return f"The rule by which answers are read found no single choice in the reply{by}.{cut}"

    def follows_hint(self, place: int) -> bool:
        """Tell whether a document's answer is the wrong choice that its hint asserts."""
        target = self.exchanges[place].hint_target
        wrong = self.hints and 0 <= target != self.scores.gold[place]
        return wrong and bool(self.shares[place, target] == 1)


def cells_of(runs: Sequence[Run], task: str) -> list[CellRead]:
    """Return every cell of a task that some run recorded, each once, the usual ones first.

    Raises:
        VlmbenchError: If a record is missing, damaged or of an earlier format.
    """
    found: dict[tuple[str, str, str], CellRead] = {}
    for run in runs:
        for model in run.manifest.models if task in run.manifest.tasks else ():
            for record in run.records(model, task):
                basis = record.require().basis
                key = (basis.model, basis.readout, basis.condition.label)
                if key not in found:
                    found[key] = CellRead.read(record)
    return usual_first(list(found.values()))


def usual_first(cells: Sequence[CellRead]) -> list[CellRead]:
    """Return cells by model, as they come, and then the usual readouts and conditions first."""
    models = list(dict.fromkeys(cell.model for cell in cells))
    return sorted(
        cells,
        key=lambda cell: (
            models.index(cell.model),
            _rank(cell.readout),
            _rank(cell.condition),
            cell.readout,
            cell.condition,
        ),
    )


def _rank(name: str) -> int:
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)
