"""Tables of what does not need a trained encoder, and of what was measured elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vlmbench.metrics import ENCODER, MISSING, PROMPTED, RULE, StatRow, above, rate
from vlmbench.report._board import Board
from vlmbench.report._format import escape, markdown_table
from vlmbench.report._tables import measured, model_name, task_name
from vlmbench.spec import ModelSpec
from vlmbench.types import Problem, VlmbenchError

_RANDOM = "own+random"


def rules(board: Board) -> list[str]:
    """Return the models that are cheap rules."""
    return [name for name, record in board.models.items() if record.rule is not None]


def has_baselines(board: Board) -> bool:
    """Tell whether a rule or an encoder with random weights was run."""
    return any(row.readout == RULE or row.condition == _RANDOM for row in board.rows.values())


def baseline_table(board: Board) -> str:
    """Return each task's best rule, best untrained encoder and best trained one, with intervals."""
    lines = []
    for task, record in board.tasks.items():
        rule = _best(board.get(name, task, "accuracy", readout=RULE) for name in rules(board))
        untrained, trained = (
            _best(
                board.get(name, task, "accuracy", readout=ENCODER, condition=condition)
                for name in measured(board)
            )
            for condition in (_RANDOM, "own")
        )
        if rule is None and untrained is None:
            continue
        shown = [_named(board, row) for row in (rule, untrained, trained)]
        lines.append(
            [task_name(board, task), rate(record.chance), *shown, _clear(rule, untrained, trained)]
        )
    head = ["Task", "Chance", "Best cheap rule", "Random encoder", "Trained encoder"]
    return markdown_table([*head, "Clear of both"], lines)


def rule_table(board: Board) -> str:
    """Return the accuracy of every rule on every task it applies to."""
    names = rules(board)
    lines = []
    for task, record in board.tasks.items():
        rows = [board.get(name, task, "accuracy", readout=RULE) for name in names]
        if any(row is not None for row in rows):
            values = [board.number(row, interval=False) for row in rows]
            lines.append([task_name(board, task), rate(record.chance), *values])
    return markdown_table(["Task", "Chance", *(model_name(board, name) for name in names)], lines)


def _best(rows: Iterable[StatRow | None]) -> StatRow | None:
    """Return the row with the largest value, the first by model name among equals."""
    found = sorted((row for row in rows if row is not None), key=lambda row: row.model)
    return max(found, key=lambda row: row.value, default=None)


def _named(board: Board, row: StatRow | None) -> str:
    return MISSING if row is None else f"{model_name(board, row.model)} {board.number(row)}"


def _clear(rule: StatRow | None, untrained: StatRow | None, trained: StatRow | None) -> str:
    """Say whether the trained encoder's interval is above both others, or which it overlaps.

    If one of the three is missing, there is nothing to say.
    """
    if rule is None or untrained is None or trained is None:
        return MISSING
    others = (("rule", rule), ("random encoder", untrained))
    unclear = [name for name, other in others if not above(trained.low, other.high)]
    return f"no: {', '.join(unclear)}" if unclear else "yes"


def recorded_table(board: Board, published: Sequence[ModelSpec]) -> str:
    """Return numbers measured elsewhere, a line per task and source; empty if there are none.

    Args:
        board: Recorded numbers among its rows are shown.
        published: Specs of recorded models whose published accuracies are shown as well.
    """
    found = dict[tuple[str, str], list[StatRow]]()
    names = {name: model_name(board, name) for name in board.models}
    names |= {spec.model: escape(spec.model_alias or spec.model) for spec in published}
    rows = {row.key: row for row in (*_published(published), *_recorded(board))}
    for row in rows.values():
        found.setdefault((row.task, row.model), []).append(row)
    lines = []
    for task, model in sorted(found):
        mine = {row.readout: row for row in found[task, model]}
        counts = sorted({str(row.n) for row in mine.values() if row.n is not None})
        others = [
            f"{board.number(row)} ({escape(readout)})"
            for readout, row in mine.items()
            if readout not in (ENCODER, PROMPTED)
        ]
        lines.append(
            [
                task_name(board, task) if task in board.tasks else escape(task),
                names[model],
                ", ".join(counts) or MISSING,
                board.number(mine.get(ENCODER)),
                board.number(mine.get(PROMPTED)),
                ", ".join(others) or MISSING,
            ]
        )
    if not lines:
        return ""
    return markdown_table(["Task", "Source", "n", "Encoder", "VQA", "Other"], lines, left=2)


def _recorded(board: Board) -> Iterator[StatRow]:
    for row in board.rows.values():
        if board.models[row.model].recorded and row.metric == "accuracy":
            yield row


def _published(specs: Sequence[ModelSpec]) -> Iterator[StatRow]:
    """Yield published accuracies as rows; a column of the data is not a published accuracy."""
    nan = float("nan")
    for spec in specs:
        for entry in spec.recorded:
            if entry.accuracy is not None:
                yield StatRow(
                    model=spec.model,
                    task=entry.task,
                    condition="own",
                    readout=entry.readout,
                    metric="accuracy",
                    value=entry.accuracy,
                    low=nan if entry.low is None else entry.low,
                    high=nan if entry.high is None else entry.high,
                    n=entry.n,
                    coverage=1.0,
                )


def check_published(specs: Sequence[ModelSpec]) -> None:
    """Raise VlmbenchError for every model that has no published accuracy to show."""
    problems = []
    for spec in specs:
        if not spec.recorded:
            message = f"model {spec.model!r} does not hold recorded numbers"
            remedy = "Give the folder of its run."
        elif all(entry.accuracy is None for entry in spec.recorded):
            message = f"the numbers of {spec.model!r} are in the data, one for each document"
            remedy = f"Run it on its task: vlmbench run --models {spec.model}."
        else:
            continue
        problems.append(Problem(field="--recorded", message=message, remedy=remedy))
    if problems:
        raise VlmbenchError(problems)
