"""What a run recorded about one model on one task, by readout and condition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmbench.spec import Condition
from vlmbench.store import read_about, read_internals, read_scores
from vlmbench.types import ChoiceScores, Internals, Problem, VlmbenchError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """The cells of one model and task that a run stored.

    Conditions stand without their seed: a run draws each of its conditions once.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        scores: Scores by readout and condition.
        internals: States and attention by condition.
        targets: (n,) int64 by condition: the choice that each document's hint asserts.
    """

    model: str
    task: str
    scores: Mapping[tuple[str, Condition], ChoiceScores]
    internals: Mapping[Condition, Internals] = field(default_factory=dict)
    targets: Mapping[Condition, NDArray[np.int64]] = field(default_factory=dict)

    @classmethod
    def load(cls, run: Path, model: str, task: str) -> Evidence:
        """Read a finished run's records of one model and task.

        Raises:
            VlmbenchError: If the folder is no finished run, or has no record of the two.
        """
        _require_finished(run)
        scores: dict[tuple[str, Condition], ChoiceScores] = {}
        internals: dict[Condition, Internals] = {}
        targets: dict[Condition, NDArray[np.int64]] = {}
        for path in sorted((run / "records").rglob("*.parquet")):
            about = read_about(path)
            if about is None or (about.get("model"), about.get("task")) != (model, task):
                continue
            condition = unseeded(Condition.parse(about["condition"]))
            scores.setdefault((about["readout"], condition), read_scores(path))
            if about["readout"] == "internals":
                internals.setdefault(condition, read_internals(path))
            if condition.text.kind == "hint":
                targets.setdefault(condition, _targets(path))
        if not scores:
            raise VlmbenchError(
                Problem(
                    file=str(run),
                    message=f"holds no record of model {model!r} on task {task!r}",
                    remedy="manifest.json in that folder lists its models and tasks.",
                )
            )
        return cls(model=model, task=task, scores=scores, internals=internals, targets=targets)

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
            raise VlmbenchError(f"the run has no {readout} scores under {condition}")
        return found

    def prompted(self) -> Iterator[tuple[Condition, ChoiceScores]]:
        """Yield the prompted cells in the order of their labels."""
        cells = [
            (c, scores) for (readout, c), scores in self.scores.items() if readout == "prompted"
        ]
        yield from sorted(cells, key=lambda cell: cell[0].label)


def unseeded(condition: Condition) -> Condition:
    """Return the condition without its seed."""
    return condition.model_copy(update={"seed": 0})


def _require_finished(run: Path) -> None:
    try:
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        complete = manifest.get("complete") is True
    except (OSError, ValueError, AttributeError):
        complete = False
    if not complete:
        raise VlmbenchError(
            Problem(
                file=str(run),
                message="is not the folder of a finished run",
                remedy="Run the study again with this --output; finished cells are kept.",
            )
        )


def _targets(path: Path) -> NDArray[np.int64]:
    """Return the choice that each document's hint asserts; -1 where none was given."""
    if "hint_target" not in pq.read_schema(path).names:
        raise VlmbenchError(
            Problem(file=str(path), field="hint_target", message="a record of hints lacks it")
        )
    column = pq.read_table(path, columns=["hint_target"]).to_pydict()["hint_target"]
    return np.array([-1 if target is None else target for target in column], dtype=np.int64)
