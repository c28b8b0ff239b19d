"""Readouts against the difficulty at which a world drew its documents."""

from __future__ import annotations

from collections.abc import Iterator

from vlmbench.metrics import ENCODER, GAP, PROMPTED, rate
from vlmbench.report._board import Board
from vlmbench.report._format import markdown_table
from vlmbench.report._tables import measured, model_name, task_name

_TEXT = (
    "The same abilities with documents drawn anew at other difficulties: 0 is easy, 1 is hard, and "
    "the tasks as they ship have .5. The documents differ, so the levels are not paired, and a "
    "probe that is fitted is fitted on documents of its own level."
)


PICTURE = "difficulty"
"""Name of the picture beside the page, without its ending."""


def swept(board: Board) -> dict[str, list[tuple[float, str]]]:
    """Return the (difficulty, task) of each ability that was drawn at two of them or more."""
    found: dict[str, list[tuple[float, str]]] = {}
    for name, record in board.tasks.items():
        if record.difficulty is not None:
            found.setdefault(record.ability, []).append((record.difficulty, name))
    return {
        ability: sorted(tasks)
        for ability, tasks in sorted(found.items())
        if len({level for level, _ in tasks}) > 1
    }


def difficulty_sections(board: Board) -> Iterator[str]:
    """Yield the section on difficulty; nothing where no ability was drawn at two of them."""
    table = difficulty_table(board)
    if table:
        yield from ("## Against difficulty", _TEXT, f"![Against difficulty]({PICTURE}.png)", table)


def difficulty_table(board: Board) -> str:
    """Return every readout by model, ability and difficulty; empty without two difficulties."""
    tasks = [one for listed in swept(board).values() for one in listed]
    lines = [
        [
            task_name(board, task),
            model_name(board, model),
            f"{level:g}",
            rate(board.tasks[task].chance),
            board.number(board.get(model, task, "accuracy", readout=PROMPTED)),
            board.number(board.get(model, task, "accuracy", readout=ENCODER)),
            board.number(
                board.get(model, task, "accuracy", readout=ENCODER, condition="own+random")
            ),
            board.number(board.get(model, task, "gap", readout=GAP), sign=True),
        ]
        for model in measured(board)
        for level, task in tasks
        if board.of(model, task)
    ]
    head = ["Task", "Model", "Difficulty", "Chance", "VQA", "Encoder", "Random encoder", "Gap"]
    return markdown_table(head, lines, left=2) if lines else ""
