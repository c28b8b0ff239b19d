"""The dumbbell plot: chance, blind, VQA and encoder of a model on a task, on one line."""

from __future__ import annotations

from dataclasses import dataclass

from vlmbench.metrics import ENCODER, GAP, MISSING, PROMPTED, StatRow, number, rate
from vlmbench.report._board import Board
from vlmbench.report._format import line_of, significant
from vlmbench.report._tables import measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One accuracy.

    Attributes:
        kind: `blind`, `vqa` or `encoder`.
        x: Where it lies, in percent.
        low: Where its interval begins.
        high: Where it ends.
        says: The number and its interval.
    """

    kind: str
    x: str
    low: str
    high: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One model on one task.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        model_says: The name the model is shown under.
        task_says: The name the task is shown under.
        chance: Where the chance level lies, in percent; empty where there is none.
        marks: The accuracies that were measured.
        bar: From where to where the gap extends; None where there is none.
        gap: The gap and its interval.
        bold: Whether the gap holds after correction for all those of the page.
        says: All of it in one line, for those who do not see the plot.
    """

    model: str
    task: str
    model_says: str
    task_says: str
    chance: str
    marks: tuple[Mark, ...]
    bar: tuple[str, str] | None
    gap: str
    bold: bool
    says: str


def lanes(board: Board) -> list[Lane]:
    """Return a lane for each task and measured model, in the order of the board."""
    return [
        lane
        for task in board.tasks
        for model in measured(board)
        if (lane := _lane(board, model, task)) is not None
    ]


def _lane(board: Board, model: str, task: str) -> Lane | None:
    rows = {
        "blind": board.get(model, task, "accuracy", readout=PROMPTED, condition="blank"),
        "vqa": board.get(model, task, "accuracy", readout=PROMPTED),
        "encoder": board.get(model, task, "accuracy", readout=ENCODER),
    }
    marks = tuple(_mark(kind, row) for kind, row in rows.items() if row is not None)
    if not marks:
        return None
    chance = board.tasks[task].chance
    gap = board.get(model, task, "gap", readout=GAP)
    vqa, encoder = rows["vqa"], rows["encoder"]
    low_high = None
    if vqa is not None and encoder is not None:
        low_high = (_percent(vqa.value), _percent(encoder.value))
    written = MISSING if gap is None else number(gap, sign=True)
    named = ", ".join(f"{mark.kind} {mark.says}" for mark in marks)
    return Lane(
        model=model,
        task=task,
        model_says=line_of(board.models[model].alias or model),
        task_says=line_of(board.tasks[task].alias or task),
        chance="" if chance is None else _percent(chance),
        marks=marks,
        bar=low_high,
        gap=written,
        bold=significant(gap, board.adjusted_gap_p.get((model, task, ""))),
        says=f"chance {rate(chance)}, {named}, gap {written}",
    )


def _mark(kind: str, row: StatRow) -> Mark:
    # A number without an interval has none that could be drawn: its ends are the number.
    low, high = (row.value if end != end else end for end in (row.low, row.high))  # noqa: PLR0124
    return Mark(
        kind=kind, x=_percent(row.value), low=_percent(low), high=_percent(high), says=number(row)
    )


def _percent(share: float) -> str:
    """Return a share of 1 as a place on the axis."""
    return f"{100 * share:.2f}%"
