"""Where the gap arises: what is lost between one stage of a model and the next."""

from __future__ import annotations

from vlmbench.metrics import GAP, LOSSES, MISSING, StatRow, signed
from vlmbench.report._board import Board
from vlmbench.report._format import markdown_table
from vlmbench.report._tables import model_name, task_name

PARTS = tuple(dict.fromkeys(LOSSES.values()))
"""Names of the losses, in the order of the signal."""


def lost_table(board: Board) -> str:
    """Return the gap's parts with their intervals, a line per task and model; empty without."""
    found = {
        (row.model, row.task, row.metric): row
        for row in board.rows.values()
        if row.metric.startswith("lost_")
    }
    lines = []
    for model, task in dict.fromkeys((model, task) for model, task, _ in found):
        parts = [found.get((model, task, f"lost_{name.replace(' ', '_')}")) for name in PARTS]
        gap = board.get(model, task, "gap", readout=GAP)
        whole = MISSING if gap is None else signed(gap.value) + board.failure_mark(gap)
        lines.append(
            [
                task_name(board, task),
                model_name(board, model),
                whole,
                *(_cell(board, row) for row in parts),
            ]
        )
    lines.sort()
    head = ["Task", "Model", "Gap", *(name.capitalize() for name in PARTS)]
    return markdown_table(head, lines, left=2) if lines else ""


def _cell(board: Board, row: StatRow | None) -> str:
    if row is None:
        return MISSING
    return f"{signed(row.value)}{board.failure_mark(row)} [{signed(row.low)}, {signed(row.high)}]"
