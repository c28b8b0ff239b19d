"""Tables of a leaderboard, as markdown, each from the same few lookups."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vlmbench.metrics import (
    ENCODER,
    GAP,
    MISSING,
    PROMPTED,
    StatRow,
    clear_of_zero,
    false_discovery,
    p_value,
    rate,
)
from vlmbench.report._answered import UNREAD, is_written, turned
from vlmbench.report._board import Board
from vlmbench.report._format import (
    FAILED,
    escape,
    markdown_table,
    significant,
)
from vlmbench.spec import STAGE

MARKED = "†"
"""On an encoder number: it saw images with the markers drawn into them."""
UNLIKE = "‡"
"""On an encoder number: the twin's weights are not the tower's."""

RESULTS = ["Blind", "VQA", "Encoder", "Gap", "p", "Holm's p", "Least gap", "Abstained"]
RESULTS_ANSWERED = ["VQA, answered", "Gap, answered"]


def measured(board: Board) -> list[str]:
    """Return the models that were run here, as opposed to recorded numbers and cheap rules."""
    return [
        name for name, record in board.models.items() if not record.recorded and record.rule is None
    ]


def model_name(board: Board, model: str) -> str:
    """Return the name a model is shown under."""
    return escape(board.models[model].alias or model)


def task_name(board: Board, task: str) -> str:
    """Return the name a task is shown under."""
    return escape(board.tasks[task].alias or task)


def gap_matrix(board: Board) -> str:
    """Return the gaps of every measured model on every task, with and without unread answers."""
    lines = []
    for model in measured(board):
        gaps = []
        for task in board.tasks:
            both = [_gap(board, model, task, interval=False)]
            if board.get(model, task, "gap_answered", readout=GAP) is not None:
                both.append(_gap(board, model, task, "_answered", interval=False))
            gaps.append(" / ".join(both))
        lines.append([model_name(board, model), *gaps])
    return markdown_table(["Model", *(task_name(board, task) for task in board.tasks)], lines)


def results_of_model(board: Board, model: str) -> str:
    """Return one model's results, a line per task that it was asked."""
    written = any(is_written(row) for task in board.tasks for row in board.of(model, task))
    lines = []
    for task, record in board.tasks.items():
        if not board.of(model, task):
            continue
        count = " ".join([str(record.n), *_effective(board, model, task)])
        mark = FAILED if any(map(board.failure_mark, board.of(model, task))) else ""
        known = [count + mark, rate(record.chance), rate(majority(board, task))]
        shown = measured_line(board, model, task, written=written)
        lines.append([task_name(board, task), *known, *shown])
    head = ["Task", "n", "Chance", "Majority", *RESULTS, *(RESULTS_ANSWERED if written else ())]
    return markdown_table(head, lines)


def results_of_task(board: Board, task: str) -> str:
    """Return the results on one task, a line per measured model."""
    models = [model for model in measured(board) if board.of(model, task)]
    written = any(is_written(row) for model in models for row in board.of(model, task))
    lines = [
        [
            " ".join([model_name(board, model), *_effective(board, model, task)]),
            *measured_line(board, model, task, written=written),
        ]
        for model in models
    ]
    return markdown_table(["Model", *RESULTS, *(RESULTS_ANSWERED if written else ())], lines)


def discoveries(board: Board) -> str:
    """Return how many of the page's gap tests survive what, in a sentence; empty without one."""
    tests = board.gap_p
    p = np.array(list(tests.values()))
    if len(p) < 2:
        return ""
    alone, expected = (int((values < 0.05).sum()) for values in (p, false_discovery(p)))
    adjusted = board.adjusted_gap_p
    held = sum(
        significant(board.get(model, task, f"gap{without}", readout=GAP), adjusted[key])
        for key in tests
        for model, task, without in (key,)
    )
    return (
        f"Of {len(p)} gap tests on this page, {alone} have p < .05 each by itself, {expected} at a "
        f"false discovery rate of .05 (Benjamini and Hochberg), and {held} after Holm's "
        "correction for all of them and with an interval that excludes 0: those are bold."
    )


def corrected_table(board: Board) -> str:
    """Return chance-corrected accuracies and gaps, a line per task and model."""
    lines = [
        [
            *_heading(board, model, task),
            board.number(_accuracy(board, model, task, "blank", PROMPTED, "accuracy_corrected")),
            board.number(_accuracy(board, model, task, "own", PROMPTED, "accuracy_corrected")),
            board.number(_accuracy(board, model, task, "own", ENCODER, "accuracy_corrected")),
            board.number(board.get(model, task, "gap_corrected", readout=GAP), sign=True),
        ]
        for model, task in _pairs(board)
    ]
    return _long_table(board, ["Blind", "VQA", "Encoder", "Gap"], lines)


def control_table(board: Board) -> str:
    """Return what every readout keeps when the image is blank, a line per task and model."""
    written = any(is_written(row) and row.condition == "blank" for row in board.rows.values())
    lines = []
    for model, task in _pairs(board):
        answered = board.number(
            _accuracy(board, model, task, "blank", PROMPTED, "accuracy_answered")
        )
        abstained = _accuracy(board, model, task, "blank", PROMPTED, "abstention")
        lines.append(
            [
                *_heading(board, model, task),
                rate(board.tasks[task].chance),
                board.number(_accuracy(board, model, task, "blank", PROMPTED)),
                board.number(_accuracy(board, model, task, "blank", ENCODER)),
                board.number(abstained, interval=False),
                *([answered] if written else ()),
            ]
        )
    head = ["Chance", "Blind", "Blind encoder", "Abstained when blind"]
    return _long_table(board, [*head, *(["Blind, answered"] if written else ())], lines)


def variation_table(board: Board) -> str:
    """Return total variation distances between answers, a line per task and model."""
    lines = []
    for model, task in _pairs(board):
        distances = []
        for condition in ("own|blank", "own|truth", "blank|truth"):
            row = board.get(model, task, "tv", readout=PROMPTED, condition=condition)
            distances.append(board.number(row, bold=row is not None and clear_of_zero(row)))
        lines.append([*_heading(board, model, task), *distances])
    head = ["VQA and blind", "VQA and truth", "Blind and truth"]
    return _long_table(board, head, lines)


def majority(board: Board, task: str) -> float:
    """Return the rate of the most common right letter, over as many documents as any cell has."""
    rows = [
        row for model in board.models for row in board.of(model, task) if row.metric == "majority"
    ]
    if not rows:
        return math.nan
    return max(rows, key=lambda row: (row.n or 0, row.value)).value


def failures(board: Board) -> list[StatRow]:
    """Return the cells in which documents failed; one for all stages that a cell read."""
    failed = [row for row in board.rows.values() if row.metric == "failed" and row.value > 0]
    stage = re.compile(rf"-({STAGE})$")
    cells = [replace(row, readout=stage.sub("", row.readout)) for row in failed]
    return list({(row.model, row.task, row.condition, row.readout): row for row in cells}.values())


def _effective(board: Board, model: str, task: str) -> list[str]:
    """Return the effective n of the gap, or else of the answers, where it is not n."""
    rows = [
        board.get(model, task, "effective_n", readout=readout)
        for readout in (GAP, PROMPTED, ENCODER)
    ]
    return [f"(n_eff {row.value:.0f})" for row in rows if row is not None][:1]


def _pairs(board: Board) -> Iterator[tuple[str, str]]:
    for task in board.tasks:
        for model in measured(board):
            if board.of(model, task):
                yield model, task


def _heading(board: Board, model: str, task: str) -> list[str]:
    several = len(measured(board)) > 1
    return [task_name(board, task), *([model_name(board, model)] if several else [])]


def _long_table(board: Board, head: list[str], lines: list[list[str]]) -> str:
    several = len(measured(board)) > 1
    first = ["Task", "Model"] if several else ["Task"]
    return markdown_table([*first, *head], lines, left=len(first))


def _accuracy(
    board: Board, model: str, task: str, condition: str, readout: str, metric: str = "accuracy"
) -> StatRow | None:
    return board.get(model, task, metric, readout=readout, condition=condition)


def _gap(board: Board, model: str, task: str, without: str = "", *, interval: bool = True) -> str:
    """Write a gap; that of the documents that were answered where `without` is `_answered`."""
    gap = board.get(model, task, f"gap{without}", readout=GAP)
    tests = board.adjusted_gap_p
    found = turned(board.of(model, task), tests)
    mark = UNREAD if any(row.readout == GAP for row, _ in found) else ""
    bold = significant(gap, tests.get((model, task, without)))
    return board.number(gap, sign=True, bold=bold, mark=mark, interval=interval)


def measured_line(board: Board, model: str, task: str, *, written: bool) -> list[str]:
    """Return one model's numbers on one task, as `RESULTS` names them."""

    def cell(condition: str, readout: str, mark: str = "", metric: str = "accuracy") -> str:
        return board.number(_accuracy(board, model, task, condition, readout, metric), mark=mark)

    p, adjusted = (tests.get((model, task, "")) for tests in (board.gap_p, board.adjusted_gap_p))
    abstained = _accuracy(board, model, task, "own", PROMPTED, "abstention")
    marks = (MARKED if board.tasks[task].marked else "") + (
        UNLIKE if board.models[model].relation in ("finetuned", "lineage") else ""
    )
    line = [
        cell("blank", PROMPTED),
        cell("own", PROMPTED),
        cell("own", ENCODER, marks),
        _gap(board, model, task),
        *(MISSING if value is None else p_value(value) for value in (p, adjusted)),
        board.number(board.get(model, task, "smallest_gap", readout=GAP)),
        board.number(abstained, interval=False),
    ]
    if written:
        line += [
            cell("own", PROMPTED, metric="accuracy_answered"),
            _gap(board, model, task, "_answered"),
        ]
    return line
