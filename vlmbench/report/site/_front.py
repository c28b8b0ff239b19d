"""The front page: the claim, the plot, the table, and what is not to be missed."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from vlmbench.metrics import GAP, PROMPTED, RULE, rate
from vlmbench.report._answered import is_written
from vlmbench.report._board import Board
from vlmbench.report._format import escape, line_of, markdown_table, significant
from vlmbench.report._leaderboard import notes
from vlmbench.report._tables import (
    RESULTS,
    RESULTS_ANSWERED,
    measured,
    measured_line,
    model_name,
    task_name,
)
from vlmbench.report.site._links import model_page, samples_page, task_page
from vlmbench.report.site._page import markdown

FEW = 100
"""Below so many documents a task is named as small on the front page."""


def claim(board: Board) -> str:
    """Return what the gaps of the page come to, in one line."""
    gaps = {
        (model, task): board.get(model, task, "gap", readout=GAP)
        for task in board.tasks
        for model in measured(board)
    }
    found = {place: gap for place, gap in gaps.items() if gap is not None}
    if not found:
        return "These runs did not compare a model with its encoder"
    tests = board.adjusted_gap_p
    held = {place for place, gap in found.items() if significant(gap, tests.get((*place, "")))}
    ahead = sum(found[place].value > 0 for place in held)
    behind = len(held) - ahead
    of = f"{ahead} of {len(found)} comparison{'s' if len(found) > 1 else ''}"
    last = f", and in {behind} the model is ahead" if behind else ""
    return f"The encoder answers better than its own model in {of}{last}"


def gap_table(board: Board) -> Markup:
    """Return every comparison, a line each, with links to what stands behind it."""
    written = any(map(is_written, board.rows.values()))
    lines = []
    for task, record in board.tasks.items():
        for model in measured(board):
            if not board.of(model, task):
                continue
            lines.append(
                [
                    f"[{task_name(board, task)}]({task_page(task)})",
                    f"[{model_name(board, model)}]({model_page(model)})",
                    str(record.n),
                    rate(record.chance),
                    *measured_line(board, model, task, written=written),
                    f"[documents]({samples_page(task, model)})",
                ]
            )
    more = RESULTS_ANSWERED if written else []
    head = ["Task", "Model", "n", "Chance", *RESULTS, *more, "Look"]
    return markdown(markdown_table(head, lines, left=2)) if lines else Markup()


def missed(board: Board) -> list[Markup]:
    """Return what the reader should not miss, a sentence each."""
    noted = [note.removeprefix("> ") for note in notes(board)]
    said = [*noted, *_abstained(board), *_small(board), *_uncontrolled(board)]
    return [markdown(sentence) for sentence in said]


def _abstained(board: Board) -> Iterator[str]:
    for task in board.tasks:
        for model in measured(board):
            row = board.get(model, task, "abstention", readout=PROMPTED)
            if row is not None and row.value > 0:
                yield (
                    f"**Abstained:** {model_name(board, model)} gave no readable answer to "
                    f"{rate(row.value)} of the {row.n} questions of {task_name(board, task)}. They "
                    "count as wrong."
                )


def _small(board: Board) -> Iterator[str]:
    few = []
    for task, record in board.tasks.items():
        rows = [
            row
            for model in measured(board)
            if (row := board.get(model, task, "smallest_gap", readout=GAP)) is not None
        ]
        if record.n < FEW and rows:
            least = max(row.value for row in rows)
            few.append(f"{task_name(board, task)} ({record.n} documents: below {rate(least)})")
    if few:
        yield (
            "**Few documents:** so small a true gap would mostly not have been found on "
            f"{', '.join(few)}."
        )


def _uncontrolled(board: Board) -> Iterator[str]:
    unblinded, unjudged = [], []
    for task in board.tasks:
        rows = [row for row in board.rows.values() if row.task == task]
        gaps = [row.model for row in rows if (row.metric, row.readout) == ("gap", GAP)]
        unblinded += [
            f"{escape(line_of(model))} on {task_name(board, task)}"
            for model in gaps
            if board.get(model, task, "accuracy", readout=PROMPTED, condition="blank") is None
        ]
        judged = {row.readout == RULE or row.condition == "own+random" for row in rows}
        if gaps and True not in judged:
            unjudged.append(task_name(board, task))
    if unblinded:
        yield (
            f"**Uncontrolled:** no blank image was shown to {', '.join(unblinded)}. What the "
            "model answers there may come from the text."
        )
    if unjudged:
        yield (
            "**Uncontrolled:** neither a cheap rule nor an encoder with random weights was run on "
            f"{', '.join(unjudged)}. How much of the encoder's number needs a trained encoder is "
            "not known."
        )
