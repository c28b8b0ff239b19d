"""The recorded readout: numbers that were measured elsewhere, by people or in a paper."""

from __future__ import annotations

import math

import numpy as np

from vlmbench.metrics import StatRow, corrected, mean_stat, summarise_recorded
from vlmbench.spec import ModelSpec, RecordedScores
from vlmbench.tasks import Documents
from vlmbench.types import Problem, VlmbenchError


def read_recorded(
    model: ModelSpec, documents: Documents, *, chance: float, seed: int
) -> list[StatRow]:
    """Return the recorded numbers of `model` for a task, labelled as what they are.

    A published accuracy is passed on with the interval and count published with it. A column
    with one number in [0, 1] per document (mean human accuracy) becomes their mean with a
    bootstrap interval over documents.

    Raises:
        VlmbenchError: If the column is missing or holds anything but numbers in [0, 1].
    """
    rows: list[StatRow] = []
    task = documents.task.spec.task
    for entry in model.recorded:
        if entry.task != task:
            continue
        if entry.accuracy is not None:
            rows += summarise_recorded(
                model=model.model,
                task=task,
                readout=entry.readout,
                value=entry.accuracy,
                chance=chance,
                low=math.nan if entry.low is None else entry.low,
                high=math.nan if entry.high is None else entry.high,
                n=entry.n,
            )
            continue
        stat = mean_stat(_column(documents, entry), seed=seed)
        for metric, value in (("accuracy", stat), ("accuracy_corrected", corrected(stat, chance))):
            rows.append(
                StatRow.of(
                    value,
                    model=model.model,
                    task=task,
                    condition="own",
                    readout=entry.readout,
                    metric=metric,
                )
            )
    return rows


def _column(documents: Documents, entry: RecordedScores) -> np.ndarray:
    assert entry.column is not None, "an entry has an accuracy or a column"
    values = []
    for document in documents:
        value = document.row.get(entry.column)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise VlmbenchError(
                Problem(
                    file=str(documents.task.path),
                    field=f"recorded.{entry.column}",
                    message=f"document {document.doc_id!r}: {value!r} is no accuracy in [0, 1]",
                    remedy="Name a data column with one number in [0, 1] per document.",
                )
            )
        values.append(float(value))
    return np.array(values)
