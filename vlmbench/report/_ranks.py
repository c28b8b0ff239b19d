"""Encoders ranked by what is read from them, beside the models ranked by what they answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from vlmbench.metrics import StatRow
from vlmbench.report._board import Board
from vlmbench.report._format import MISSING, markdown_table, number, signed
from vlmbench.report._tables import measured, model_name, task_name

LEAST = 3
"""Models below which an order says nothing."""
# Controls show that a model can answer at all; they are no part of what encoders are ranked by.
_CONTROLS = frozenset({"naming", "pointing"})
_METRIC = "accuracy_corrected"

Reading = Literal["encoder", "prompted"]


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
    means: dict[tuple[str, Reading], StatRow]

    def values(self, readout: Reading) -> list[float]:
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
    readouts: tuple[Reading, Reading] = ("encoder", "prompted")
    means = {
        (model, readout): _mean(board, model, tasks, readout)
        for model in models
        for readout in readouts
    }
    ordered = sorted(models, key=lambda model: (-means[model, "encoder"].value, model))
    return Ranking(models=tuple(ordered), tasks=tasks, means=means)


def _tasks(board: Board, model: str) -> list[str]:
    """Return the tasks, controls apart, that a model and its encoder were both asked."""
    return [
        task
        for task, record in board.tasks.items()
        if record.ability not in _CONTROLS
        and board.get(model, task, _METRIC, readout="encoder") is not None
        and board.get(model, task, _METRIC, readout="prompted") is not None
    ]


def _mean(board: Board, model: str, tasks: Sequence[str], readout: Reading) -> StatRow:
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
        for readout in ("encoder", "prompted")
    }
    lines = [
        [
            model_name(board, model),
            number(ranking.means[model, "encoder"]),
            str(int(places["encoder"][index])),
            number(ranking.means[model, "prompted"]),
            str(int(places["prompted"][index])),
        ]
        for index, model in enumerate(ranking.models)
    ]
    head = ["Model", "Encoder", "Rank by encoder", "VQA", "Rank by VQA"]
    return markdown_table(head, lines)


def rank_notes(board: Board, ranking: Ranking) -> str:
    """Return tau, how little it takes for it to be chance, and which neighbours are not apart."""
    from scipy.stats import kendalltau

    count = len(ranking.models)
    tau = float(kendalltau(ranking.values("encoder"), ranking.values("prompted")).statistic)
    by_luck = 2 / math.factorial(count)
    lines = [
        f"- Over {len(ranking.tasks)} tasks that all {count} models share: "
        f"{', '.join(task_name(board, task) for task in ranking.tasks)}.",
        f"- Kendall's tau between the two orders: {MISSING if math.isnan(tau) else signed(tau)} "
        "(1 for the same order, -1 for the opposite one). Of "
        f"{count} models, chance alone puts a share of {by_luck:.2g} of all pairs of orders into "
        "perfect agreement or perfect opposition.",
    ]
    readings: tuple[tuple[str, Reading], ...] = (("encoder", "encoder"), ("VQA", "prompted"))
    for name, readout in readings:
        unclear = _overlaps(board, ranking, readout)
        told = f"within their intervals: {'; '.join(unclear)}" if unclear else "clear throughout"
        lines.append(f"- Differences between neighbours by {name}: {told}.")
    return "\n".join(lines)


def _overlaps(board: Board, ranking: Ranking, readout: Reading) -> list[str]:
    """Return the neighbours in rank whose intervals overlap."""
    ordered = sorted(ranking.models, key=lambda model: -ranking.means[model, readout].value)
    return [
        f"{model_name(board, better)} and {model_name(board, worse)}"
        for better, worse in pairwise(ordered)
        if ranking.means[better, readout].low <= ranking.means[worse, readout].high
    ]
