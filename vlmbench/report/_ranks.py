"""Encoders ranked by what is read from them, beside the models ranked by what they answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vlmbench.metrics import ENCODER, PROMPTED, StatRow, above, brief, number, signed
from vlmbench.report._board import Board
from vlmbench.report._format import markdown_table
from vlmbench.report._tables import measured, model_name, task_name

LEAST = 3
"""Models below which an order says nothing."""
# Controls show that a model can answer at all; encoders are not ranked by them.
_CONTROLS = frozenset({"naming", "pointing"})
_METRIC = "accuracy_corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Models and their means over the tasks that all of them share.

    Attributes:
        models: By falling encoder readout, then by name.
        tasks: What the means are over.
        means: By model and readout, chance-corrected, with 95% intervals.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    means: dict[tuple[str, str], StatRow]

    def values(self, readout: str) -> list[float]:
        """Return the means in the order of `models`."""
        return [self.means[model, readout].value for model in self.models]


def rank(board: Board) -> Ranking | None:
    """Return the ranking of measured models; None unless three of them share a task."""
    asked = {model: _tasks(board, model) for model in measured(board)}
    models = [model for model, tasks in asked.items() if tasks]
    if len(models) < LEAST:
        return None
    tasks = tuple(task for task in board.tasks if all(task in asked[model] for model in models))
    if not tasks:
        return None
    means = {
        (model, readout): _mean(board, model, tasks, readout)
        for model in models
        for readout in (ENCODER, PROMPTED)
    }
    ordered = sorted(models, key=lambda model: (-means[model, ENCODER].value, model))
    return Ranking(models=tuple(ordered), tasks=tasks, means=means)


def _tasks(board: Board, model: str) -> list[str]:
    """Return the tasks, controls apart, that a model and its encoder were both asked."""
    return [
        task
        for task, record in board.tasks.items()
        if record.ability not in _CONTROLS
        and board.get(model, task, _METRIC, readout=ENCODER) is not None
        and board.get(model, task, _METRIC, readout=PROMPTED) is not None
    ]


def _mean(board: Board, model: str, tasks: Sequence[str], readout: str) -> StatRow:
    """Return the mean over tasks; its interval takes their documents as independent."""
    rows = [board.get(model, task, _METRIC, readout=readout) for task in tasks]
    held = [row for row in rows if row is not None]
    assert len(held) == len(tasks), "ranked on a task that was not measured"
    value = math.fsum(row.value for row in held) / len(held)
    half = math.sqrt(math.fsum(((row.high - row.low) / 2) ** 2 for row in held)) / len(held)
    return StatRow(
        model=model,
        task="",
        condition="own",
        readout=readout,
        metric=_METRIC,
        value=value,
        low=value - half,
        high=value + half,
        n=None,
        coverage=1.0,
    )


def rank_table(board: Board, ranking: Ranking) -> str:
    """Return a line per model: both means with their intervals and ranks, 1 for the best."""
    from scipy.stats import rankdata  # not above: the command line would wait for it

    places = {
        readout: rankdata([-value for value in ranking.values(readout)], method="min")
        for readout in (ENCODER, PROMPTED)
    }
    lines = [
        [
            model_name(board, model),
            number(ranking.means[model, ENCODER]),
            str(int(places[ENCODER][index])),
            number(ranking.means[model, PROMPTED]),
            str(int(places[PROMPTED][index])),
        ]
        for index, model in enumerate(ranking.models)
    ]
    head = ["Model", "Encoder", "Rank by encoder", "VQA", "Rank by VQA"]
    return markdown_table(head, lines)


def rank_notes(board: Board, ranking: Ranking) -> str:
    """Return tau, how little it takes for it to be chance, and which neighbours are not apart."""
    from scipy.stats import kendalltau

    count = len(ranking.models)
    tau = float(kendalltau(ranking.values(ENCODER), ranking.values(PROMPTED)).statistic)
    by_luck = 2 / math.factorial(count)
    lines = [
        f"- Over {len(ranking.tasks)} tasks that all {count} models share: "
        f"{', '.join(task_name(board, task) for task in ranking.tasks)}.",
        f"- Kendall's tau between the two orders: {signed(tau)} (1 for the same order, -1 for the "
        f"opposite one). Of {count} models, chance alone puts a share of {brief(by_luck)} of all "
        "pairs of orders into perfect agreement or perfect opposition.",
    ]
    for name, readout in (("encoder", ENCODER), ("VQA", PROMPTED)):
        unclear = _overlaps(board, ranking, readout)
        told = f"within their intervals: {'; '.join(unclear)}" if unclear else "clear throughout"
        lines.append(f"- Differences between neighbours by {name}: {told}.")
    return "\n".join(lines)


def _overlaps(board: Board, ranking: Ranking, readout: str) -> list[str]:
    """Return the neighbours in rank whose intervals overlap."""
    ordered = sorted(ranking.models, key=lambda model: -ranking.means[model, readout].value)
    return [
        f"{model_name(board, better)} and {model_name(board, worse)}"
        for better, worse in pairwise(ordered)
        if not above(ranking.means[better, readout].low, ranking.means[worse, readout].high)
    ]
