"""What a run recorded about one model on one task, by readout and condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlmbench.spec import Condition
from vlmbench.store import Run
from vlmbench.types import ChoiceScores, Internals, Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """The cells of one model and task that a run stored.

    Conditions are stored without their seed: a run draws each of its conditions once.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        scores: Scores by readout and condition.
        internals: States and attention by condition.
        targets: (n,) int64 by condition: the choice that each document's hint asserts.
        answers: By condition that has internals: what the right choice of each document says.
        image_targets: (n,) int64 by readout and condition, where a condition shows other images
            than the document's own: the choice that is right for them; -1 where it is not known.
    """

    model: str
    task: str
    scores: Mapping[tuple[str, Condition], ChoiceScores]
    internals: Mapping[Condition, Internals] = field(default_factory=dict)
    targets: Mapping[Condition, NDArray[np.int64]] = field(default_factory=dict)
    answers: Mapping[Condition, tuple[str, ...]] = field(default_factory=dict)
    image_targets: Mapping[tuple[str, Condition], NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def load(cls, run: Run, model: str, task: str) -> Evidence:
        """Read a finished run's records of one model and task.

        Raises:
            VlmbenchError: If the run has no record of the two, or one that cannot be read.
        """
        scores: dict[tuple[str, Condition], ChoiceScores] = {}
        internals: dict[Condition, Internals] = {}
        targets: dict[Condition, NDArray[np.int64]] = {}
        answers: dict[Condition, tuple[str, ...]] = {}
        image_targets: dict[tuple[str, Condition], NDArray[np.int64]] = {}
        for record in run.records(model, task):
            basis = record.require().basis
            condition = unseeded(basis.condition)
            scores.setdefault((basis.readout, condition), record.scores())
            for stage, read in record.stages().items():
                scores.setdefault((_at(basis.readout, stage), condition), read)
            inside = record.internals()
            if inside is not None:
                internals.setdefault(condition, inside)
                answers.setdefault(condition, record.answers())
            if condition.text.kind == "hint":
                targets.setdefault(condition, record.hint_targets())
            if condition.image.redraws or condition.forward.needs_others:
                for readout in (basis.readout, *(_at(basis.readout, s) for s in record.stages())):
                    image_targets.setdefault((readout, condition), record.image_targets())
        if not scores:
            raise VlmbenchError(
                Problem(
                    file=run.name,
                    message=f"the run has no record of model {model!r} on task {task!r}",
                    remedy="Its models and tasks are listed in manifest.json in that folder.",
                )
            )
        return cls(
            model=model,
            task=task,
            scores=scores,
            internals=internals,
            targets=targets,
            answers=answers,
            image_targets=image_targets,
        )

    def get(self, readout: str, condition: str = "own") -> ChoiceScores | None:
        """Return the scores of a readout under the condition of that label, or None."""
        return self.scores.get((readout, Condition.parse(condition)))

    def need(self, readout: str, condition: str = "own") -> ChoiceScores:
        """Return the scores of a readout under the condition of that label.

        Raises:
            VlmbenchError: If the run has none.
        """
        found = self.get(readout, condition)
        if found is None:
            raise VlmbenchError(f"the run has no {readout} scores under the condition {condition}")
        return found

    def prompted(self) -> Iterator[tuple[Condition, ChoiceScores]]:
        """Yield the prompted cells in the order of their labels."""
        cells = [
            (c, scores) for (readout, c), scores in self.scores.items() if readout == "prompted"
        ]
        yield from sorted(cells, key=lambda cell: cell[0].label)


def _at(readout: str, stage: str) -> str:
    """Return the label of a stage; a readout of one stage alone has it already."""
    return readout if readout.endswith(f"-{stage}") else f"{readout}-{stage}"


def unseeded(condition: Condition) -> Condition:
    """Return the condition without its seed."""
    return condition.model_copy(update={"seed": 0})
