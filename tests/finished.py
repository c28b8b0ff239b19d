"""A finished run made by hand whose statistics are those of its records, with all that can happen.

Of six documents the model gets three right, ties on one, leaves one unanswered, and one fails; the
encoder gets all right but one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import handmade
import numpy as np

from vlmbench.metrics import summarise
from vlmbench.spec import Condition, Encoder, Prompted
from vlmbench.store import RunFolder
from vlmbench.types import ChoiceScores

GOLD = [0, 1, 0, 1, 0, 1]
MODEL, TASK = "tiny", "sight"


def _scores(chosen: list[int], **more: Any) -> ChoiceScores:
    scores = np.full((len(GOLD), 2), -2.0)
    scores[np.arange(len(GOLD)), chosen] = -1.0 / 3.0
    return handmade.scored(scores, GOLD, **more)


def _prompted() -> ChoiceScores:
    lost = {name: np.zeros(len(GOLD), bool) for name in ("abstained", "failed")}
    lost["abstained"][4] = lost["failed"][5] = True
    found = _scores([0, 1, 0, 0, 0, 0], **lost)
    found.scores[3] = -1.0
    return found


CELLS = {
    (Condition(), Prompted()): _prompted(),
    (Condition.parse("blank"), Prompted()): _scores([0, 0, 0, 0, 0, 0]),
    (Condition(), Encoder()): _scores([0, 1, 0, 1, 0, 0], scale="similarity"),
}


def finished(place: Path, **basis: Any) -> Path:
    """Write the run and return its folder; `basis` replaces what its records are made from."""
    folder = RunFolder(place)
    names = [
        handmade.write(
            folder, handmade.basis(MODEL, TASK, readout.label, condition.label, **basis), scores
        )
        for (condition, readout), scores in CELLS.items()
    ]
    manifest = handmade.manifest(
        {TASK: handmade.task_record(n=len(GOLD), of=len(GOLD))},
        {MODEL: handmade.model_record(backend="hf", weights="a" * 64, dtype="float32")},
        cells=tuple(names),
    )
    folder.finish(manifest, summarise(CELLS, model=MODEL, task=TASK, seed=0), {})
    return place
