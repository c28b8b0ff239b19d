"""Cells that were trained with several seeds: their mean, its spread, and their gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vlmbench.diagnostics._comparison import restricted
from vlmbench.diagnostics._evidence import Evidence
from vlmbench.metrics import Clusters, credit, difference_stat, rate_stat, tv_to_truth
from vlmbench.spec import Condition, Trained
from vlmbench.types import ChoiceScores, ComparisonError, Stat

Cells = Sequence[ChoiceScores]
"""One cell a seed, all over the same documents."""
KeyT = TypeVar("KeyT")
TrainedT = TypeVar("TrainedT", bound=Trained)


def trained_cells(
    evidence: Evidence, kind: type[TrainedT], by: Callable[[TrainedT], KeyT]
) -> dict[KeyT, dict[int, ChoiceScores]]:
    """Return the prompted cells of one kind of trained weights and nothing else changed.

    Args:
        evidence: The stored cells.
        kind: Which kind.
        by: Gives what belongs together of weights of that kind.

    Returns:
        By that, and by seed.
    """
    found: dict[KeyT, dict[int, ChoiceScores]] = {}
    for condition, scores in evidence.prompted():
        weights = condition.weights
        if isinstance(weights, kind) and condition == Condition(weights=weights):
            found.setdefault(by(weights), {})[weights.seed] = scores
    return found


def shared(cells: Cells) -> tuple[ChoiceScores, ...]:
    """Return cells over the documents of the shortest one that failed in none of them.

    Raises:
        ComparisonError: If a cell lacks documents of the shortest or orders them otherwise, or if
            every document failed in one of them.
    """
    shortest = min(cells, key=len)
    held = [restricted(cell, shortest.doc_ids) for cell in cells]
    run = ~np.logical_or.reduce([cell.failed for cell in held])
    if not run.any():
        raise ComparisonError("each of the documents failed in one of the cells")
    return tuple(cell.take(run) for cell in held)


def mean_accuracy(cells: Cells) -> Stat:
    """Return mean credit over documents and seeds; Wilson's interval is over documents."""
    return rate_stat(_credits(cells), Clusters.among(cells[0]), coverage=_coverage(cells))


def mean_gain(cells: Cells, base: Cells) -> Stat:
    """Return how much more credit documents earn than in other cells, as means over seeds.

    Documents are paired. Tango's interval is over documents, for the seeds that were trained.
    """
    return difference_stat(
        _credits(cells) - _credits(base),
        Clusters.among(cells[0]),
        coverage=_coverage([*cells, *base]),
    )


def spread(cells: Cells) -> Stat | None:
    """Return the standard deviation of accuracy over seeds; None for a single one."""
    found = [float(credit(cell).mean()) for cell in cells]
    if len(found) < 2:
        return None
    return Stat(value=float(np.std(found, ddof=1)), n=len(found), coverage=1.0)


def mean_distance(cells: Cells, *, seed: int) -> Stat:
    """Return the total variation of answers from the truth; a mean over seeds has no interval."""
    found = [tv_to_truth(cell, seed=seed) for cell in cells]
    if len(found) == 1:
        return found[0]
    mean = float(np.mean([stat.value for stat in found]))
    return Stat(value=mean, n=found[0].n, coverage=_coverage(cells))


def has_letters(cell: ChoiceScores) -> bool:
    """Tell whether the cell's answers are choices, whose distribution can be told."""
    return cell.scale != "credit"


def _credits(cells: Cells) -> NDArray[np.float64]:
    earned: NDArray[np.float64] = np.mean([credit(cell) for cell in cells], axis=0)
    return earned


def _coverage(cells: Cells) -> float:
    return float(np.mean([(~cell.abstained).mean() for cell in cells]))
