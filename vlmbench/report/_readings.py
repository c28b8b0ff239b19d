"""The encoder read in other ways: another layer, patch, vector of an image, or with markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from vlmbench.metrics import ENCODER, PROMPTED, StatRow, number
from vlmbench.report._board import Board
from vlmbench.report._format import Cells, escape, failed_cells, failure_mark, markdown_table
from vlmbench.report._layout import Column, Layout, Row
from vlmbench.report._tables import model_name, task_name

_HEAD = ("Encoder read as", "n", "Accuracy [95% interval]", "Gap [95% interval]")


def is_encoders(readout: str) -> bool:
    """Tell whether a row is of the encoder readout, with whatever options."""
    return readout.partition("-")[0] == ENCODER


def encoder_readings(rows: Sequence[StatRow]) -> dict[tuple[str, str], list[StatRow]]:
    """Return accuracies of the encoder, by model and task, where it was read in several ways."""
    found: dict[tuple[str, str], list[StatRow]] = {}
    for row in rows:
        if (row.condition, row.metric) == ("own", "accuracy") and is_encoders(row.readout):
            found.setdefault((row.model, row.task), []).append(row)
    return {key: readings for key, readings in found.items() if len(readings) > 1}


def readings_terminal(
    rows: Sequence[StatRow], *, aliases: Mapping[str, str] | None = None
) -> Layout | None:
    """Return a table of the ways in which encoders were read, a part per model and task.

    Args:
        rows: Rows of a run.
        aliases: Names to show instead of a model's or task's own.

    Returns:
        The table; None where every encoder was read in one way.
    """
    names, gaps, failed = aliases or {}, _gaps(rows), failed_cells(rows)
    lines: list[Row] = []
    for (model, task), readings in encoder_readings(rows).items():
        lines.append([Text(f"{names.get(model, model)}, {names.get(task, task)}", style="bold")])
        lines += [[f"  {cells[0]}", *cells[1:]] for cells in _lines(readings, gaps, failed)]
    first, *others = _HEAD
    columns = (Column(head=first), *(Column(head=head, right=True) for head in others))
    return Layout(columns=columns, rows=lines) if lines else None


def readings_table(board: Board) -> str:
    """Return the same as markdown, a line per task, model and way; empty if there is one way."""
    rows = list(board.rows.values())
    gaps, failed = _gaps(rows), failed_cells(rows)
    lines = [
        [task_name(board, task), model_name(board, model), escape(cells[0]), *cells[1:]]
        for (model, task), readings in encoder_readings(rows).items()
        for cells in _lines(readings, gaps, failed)
    ]
    return markdown_table(["Task", "Model", *_HEAD], lines, left=3) if lines else ""


_Gaps = Mapping[tuple[str, str, str], StatRow]  # by (model, task, pair of readouts)


def _gaps(rows: Sequence[StatRow]) -> _Gaps:
    return {(row.model, row.task, row.readout): row for row in rows if row.metric == "gap"}


def _lines(readings: Sequence[StatRow], gaps: _Gaps, failed: Cells) -> list[list[str]]:
    lines = []
    for row in readings:
        gap = gaps.get((row.model, row.task, f"{row.readout}-{PROMPTED}"))
        written = number(gap, sign=True, mark=failure_mark(gap, failed))
        mark = failure_mark(row, failed)
        lines.append([row.readout, f"{row.n}{mark}", number(row, mark=mark), written])
    return lines
