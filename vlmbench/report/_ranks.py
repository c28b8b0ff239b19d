"""Encoders ranked by what is read from them, next to the models ranked by what they answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vlmbench.metrics import (
    ENCODER,
    ENCODER_MEAN,
    PROMPTED,
    StatRow,
    above,
    brief,
    number,
    signed,
)
from vlmbench.report._board import Board
from vlmbench.report._format import markdown_table
from vlmbench.report._tables import measured, model_name, task_name

LEAST = 3
"""With fewer encoders than this, by their weights, an order says nothing."""
# Controls show that a model can answer at all; encoders are not ranked by them.
_CONTROLS = frozenset({"naming", "pointing"})
_METRIC = "accuracy_corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Models and their means over the tasks that all of them share.

    Attributes:
        models: By falling encoder readout, then by name.
        tasks: What the means are over.
        pooled: Those of them on which all encoders are read by the mean of their patches.
        means: By model and readout, chance-corrected, with 95% intervals.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    pooled: tuple[str, ...]
    means: dict[tuple[str, str], StatRow]

    def values(self, readout: str) -> list[float]:
        """Return the means in the order of `models`."""
        return [self.means[model, readout].value for model in self.models]


def rank(board: Board) -> Ranking | None:
    """Return the ranking of measured models; None unless three share a task, of three encoders.

    A model and those that were tuned from it may have one encoder, and then nothing to rank by.
    """
    asked = {model: _tasks(board, model) for model in measured(board)}
    models = [model for model, tasks in asked.items() if tasks]
    if len({board.models[model].encoder_weights or model for model in models}) < LEAST:
        return None
    tasks = tuple(task for task in board.tasks if all(task in asked[model] for model in models))
    if not tasks:
        return None
    encoders = {task: _encoder(board, models, task) for task in tasks}
    prompted = dict.fromkeys(tasks, PROMPTED)
    means = {
        (model, name): _mean(board, model, readouts, name)
        for model in models
        for name, readouts in ((ENCODER, encoders), (PROMPTED, prompted))
    }
    ordered = sorted(models, key=lambda model: (-means[model, ENCODER].value, model))
    pooled = tuple(task for task in tasks if encoders[task] != ENCODER)
    return Ranking(models=tuple(ordered), tasks=tasks, pooled=pooled, means=means)


def _encoder(board: Board, models: Sequence[str], task: str) -> str:
    """Return the encoder readout that models are compared by: on the mean where all have it.

    Some towers sum an image up in a class token and others have none, which is no difference in
    what the encoders know.
    """
    rows = [board.get(model, task, _METRIC, readout=ENCODER_MEAN) for model in models]
    return ENCODER if None in rows else ENCODER_MEAN


def _tasks(board: Board, model: str) -> list[str]:
    """Return the tasks, controls apart, that a model and its encoder were both asked."""
    return [
        task
        for task, record in board.tasks.items()
        if record.ability not in _CONTROLS
        and board.get(model, task, _METRIC, readout=ENCODER) is not None
        and board.get(model, task, _METRIC, readout=PROMPTED) is not None
    ]


def _mean(board: Board, model: str, readouts: Mapping[str, str], name: str) -> StatRow:
    """Return the mean over tasks, each by its readout; documents are taken as independent."""
    rows = [board.get(model, task, _METRIC, readout=how) for task, how in readouts.items()]
    held = [row for row in rows if row is not None]
    assert len(held) == len(readouts), "ranked on a task that was not measured"
    value = math.fsum(row.value for row in held) / len(held)
    half = math.sqrt(math.fsum(((row.high - row.low) / 2) ** 2 for row in held)) / len(held)
    return StatRow(
        model=model,
        task="",
        condition="own",
        readout=name,
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
            _number(board, ranking, model, ENCODER),
            str(int(places[ENCODER][index])),
            _number(board, ranking, model, PROMPTED),
            str(int(places[PROMPTED][index])),
        ]
        for index, model in enumerate(ranking.models)
    ]
    head = ["Model", "Encoder", "Rank by encoder", "VQA", "Rank by VQA"]
    return markdown_table(head, lines)


def _number(board: Board, ranking: Ranking, model: str, name: str) -> str:
    """Write a mean, marked where documents of a task failed that it is over."""
    readouts = {
        task: ENCODER_MEAN if name == ENCODER and task in ranking.pooled else name
        for task in ranking.tasks
    }
    rows = [board.get(model, task, _METRIC, readout=how) for task, how in readouts.items()]
    mark = next(filter(None, map(board.failure_mark, rows)), "")
    return number(ranking.means[model, name], mark=mark)


def rank_notes(board: Board, ranking: Ranking) -> str:
    """Return tau, how easily it could be chance, and which neighbours cannot be told apart."""
    from scipy.stats import kendalltau

    count = len(ranking.models)
    tau = float(kendalltau(ranking.values(ENCODER), ranking.values(PROMPTED)).statistic)
    by_luck = 2 / math.factorial(count)
    lines = [
        f"- Over {len(ranking.tasks)} tasks that all {count} models share: "
        f"{', '.join(task_name(board, task) for task in ranking.tasks)}.",
        f"- Kendall's tau between the two orders: {signed(tau)} (1 for the same order, -1 for the "
        f"opposite one). Of {count} models, chance alone brings a share of {brief(by_luck)} "
        "of all pairs of orders into perfect agreement or perfect opposition.",
    ]
    if ranking.pooled:
        names = ", ".join(task_name(board, task) for task in ranking.pooled)
        lines.append(
            f"- On {names} every encoder sums an image up by the mean of its patches, which all "
            "have; by its class token, where there is one, it is read in the tables above."
        )
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
