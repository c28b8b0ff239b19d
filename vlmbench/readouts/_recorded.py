"""The recorded readout: numbers that were measured elsewhere, by people or in a paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vlmbench.metrics import Clusters, StatRow, corrected, mean_stat, summarise_recorded
from vlmbench.plan import Cell
from vlmbench.readouts._reading import Numbers
from vlmbench.readouts._reads import Opened
from vlmbench.spec import Located, ModelSpec, RecordedScores, TaskSpec
from vlmbench.types import Asked, Document, Problem, VlmbenchError, clusters_of


class RecordedReadout:
    """Takes `spec.Recorded`."""

    def read(self, cell: Cell, asked: Sequence[Asked], opened: Opened) -> Numbers:
        """Return what was recorded for the task; see `read_recorded`."""
        documents = [one.document for one in asked]
        return Numbers(
            rows=tuple(read_recorded(cell.model.spec, cell.task, documents, seed=opened.seed))
        )


def read_recorded(
    model: ModelSpec,
    located: Located[TaskSpec],
    documents: Sequence[Document],
    *,
    seed: int,
) -> list[StatRow]:
    """Return the recorded numbers of `model` for a task, labelled as what they are.

    A published accuracy is passed on with the interval and count published with it. A column
    with one number in [0, 1] per document (mean human accuracy) becomes their mean with a
    bootstrap interval over documents.

    Raises:
        VlmbenchError: If the column is missing or holds anything but numbers in [0, 1].
    """
    rows: list[StatRow] = []
    task = located.spec.task
    chance = sum(1 / len(document.choices) for document in documents) / len(documents)
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
        clusters = Clusters.of(clusters_of(documents))
        stat = mean_stat(_column(located, documents, entry), clusters, seed=seed)
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


def _column(
    located: Located[TaskSpec], documents: Sequence[Document], entry: RecordedScores
) -> np.ndarray:
    assert entry.column is not None, "an entry has an accuracy or a column"
    values = []
    for document in documents:
        value = document.row.get(entry.column)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise VlmbenchError(
                Problem(
                    file=str(located.path),
                    field=f"recorded.{entry.column}",
                    message=f"document {document.doc_id!r}: {value!r} is not an accuracy in [0, 1]",
                    remedy="Name a data column with one number in [0, 1] per document.",
                )
            )
        values.append(float(value))
    return np.array(values)
