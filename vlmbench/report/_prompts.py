"""How much the prompt decides: accuracies and ranks of models over the forms of one question."""

from __future__ import annotations

from collections.abc import Mapping

from vlmbench.metrics import PROMPTED, StatRow, above
from vlmbench.report._board import Board, is_form
from vlmbench.report._format import code, markdown_table
from vlmbench.report._tables import measured, model_name, task_name
from vlmbench.spec import Condition

PLAIN = Condition().label


def prompts_table(board: Board) -> str:
    """Return, per task and model, accuracies and ranks over the forms that all models were asked.

    Empty unless two models were asked the same question in another form, of as many documents.
    """
    lines = []
    for task in board.tasks:
        asked = _accuracies(board, task)
        if len(asked) < 2:
            continue
        ranks = _ranks(asked)
        for model, rows in asked.items():
            ordered = sorted(rows.values(), key=lambda row: row.value)
            ends = (ordered[0], ordered[-1])
            spread = sorted({ranks[model, form] for form in rows})
            lines.append(
                [
                    task_name(board, task),
                    model_name(board, model),
                    str(len(rows)),
                    board.number(rows[PLAIN]),
                    *(f"{board.number(row, interval=False)} {_form(row)}" for row in ends),
                    str(ranks[model, PLAIN]),
                    str(spread[0]) if len(spread) == 1 else f"{spread[0]} to {spread[-1]}",
                ]
            )
    head = ["Task", "Model", "Forms", "Plain", "Lowest", "Highest", "Rank, plain", "Ranks"]
    return markdown_table(head, lines, left=2) if lines else ""


def _form(row: StatRow) -> str:
    """Return what a table calls the form of a row."""
    return "plain" if row.condition == PLAIN else code(row.condition.removeprefix("own+"))


def _accuracies(board: Board, task: str) -> dict[str, dict[str, StatRow]]:
    """Return prompted accuracies by model and form, of the forms that all of the models share."""
    found: dict[str, dict[str, StatRow]] = {}
    for model in measured(board):
        plain = board.get(model, task, "accuracy", readout=PROMPTED)
        forms = {
            row.condition: row
            for row in board.of(model, task)
            if (row.metric, row.readout) == ("accuracy", PROMPTED)
            if is_form(row.condition) and plain is not None and row.n == plain.n
        }
        if plain is not None and forms:
            found[model] = {PLAIN: plain, **forms}
    first = next(iter(found.values()), {})
    shared = [form for form in first if all(form in rows for rows in found.values())]
    if len(shared) < 2:
        return {}
    return {model: {form: rows[form] for form in shared} for model, rows in found.items()}


def _ranks(asked: Mapping[str, Mapping[str, StatRow]]) -> dict[tuple[str, str], int]:
    """Return each model's place under each form, 1 for the best; equal accuracies share one."""
    return {
        (model, form): 1 + sum(above(other[form].value, row.value) for other in asked.values())
        for model, rows in asked.items()
        for form, row in rows.items()
    }
